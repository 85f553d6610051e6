import type { PayloadCodec } from '@millrace/contracts';
import { arrayQuery, GroupCommit, type Pool, type PoolClient } from '@millrace/postgres';
import type { Claimed, ReleaseUnheld } from '@millrace/work';

import type { Delivery, NewDelivery } from '../core/delivery.ts';
import type { Outcome } from '../core/outcome.ts';
import { Deliveries, type ClaimOptions, type DeliveryRedrive } from '../ports.ts';
import { claimSql, deliveryOfRow, type DeliveryRow } from './claim-sql.ts';
import { insertColumns, insertSql } from './insert-sql.ts';
import { redriveColumns, redriveSql } from './redrive-sql.ts';
import { settleColumns, settleSql, type Settlement } from './settle-sql.ts';

/** Beyond this the exact number of waiting rows helps nobody, and counting it costs. */
const waitingCountMax = 100_000;

/**
 * Deliveries in Postgres.
 *
 * D1 A row is owned by at most one living process; only its owner settles it.
 * D2 A row that was inserted or claimed as ours, by a statement whose answer was lost, is never
 *    started: `releaseUnheld` puts it back, since nobody else frees what a living process owns.
 * D3 While a row is being sent, `not_before` is when it was given to its owner.
 */
export class PostgresDeliveries extends Deliveries {
  private readonly inserts: GroupCommit<NewDelivery, boolean>;
  private readonly settlements: GroupCommit<Settlement, void>;
  /** Inserts whose outcome is still to come: their rows are on their way to us. */
  private readonly inserting = new Set<readonly NewDelivery[]>();

  constructor(
    private readonly pool: Pool,
    private readonly codec: PayloadCodec,
  ) {
    super();
    this.inserts = new GroupCommit({
      name: 'deliveries insert',
      pool,
      keyOf: ({ id }) => id,
      bytesOf: ({ body, record }) => body.length + (record.value?.length ?? 0),
      commit: (client, items) => this.commitInserts(client, items),
    });
    this.settlements = new GroupCommit({
      name: 'deliveries settle',
      pool,
      keyOf: ({ delivery }) => delivery.id,
      bytesOf: ({ outcome }) => excerptLength(outcome),
      commit: (client, items) => this.commitSettlements(client, items),
    });
  }

  async insert(deliveries: readonly NewDelivery[]): Promise<PromiseSettledResult<boolean>[]> {
    this.inserting.add(deliveries);
    try {
      return await this.inserts.submitAll(deliveries);
    } finally {
      this.inserting.delete(deliveries);
    }
  }

  async redrive(redrives: readonly DeliveryRedrive[]): Promise<void> {
    await this.pool.query({ text: redriveSql, values: redriveColumns(redrives) });
  }

  async claim(options: ClaimOptions): Promise<Claimed<Delivery>> {
    const { owner, limit, busy, roomElsewhere } = options;
    const { rows } = await this.pool.query<DeliveryRow>({
      name: 'deliveries_claim',
      text: claimSql,
      values: [
        owner,
        limit,
        busy.map(({ tenant }) => tenant),
        busy.map(({ origin }) => origin),
        busy.map(({ room }) => room),
        roomElsewhere,
      ],
    });
    const deliveries = rows.map((row) => deliveryOfRow(row, owner, this.codec));
    // A full claim is followed by another as soon as there is room: no need to look ahead.
    return { rows: deliveries, nextDueInMs: rows.length === limit ? null : await this.nextDue() };
  }

  async settle(delivery: Delivery, outcome: Outcome): Promise<void> {
    await this.settlements.submit({ delivery, outcome });
  }

  async reap(deadOwners: readonly string[]): Promise<number> {
    return this.free('owner = ANY($1::text[])', [deadOwners]);
  }

  async releaseUnheld({ owner, held, ageMs }: ReleaseUnheld): Promise<number> {
    const arriving = [...this.inserting].flatMap((rows) => rows.map(({ id }) => id));
    return this.free(
      `owner = $1 AND id <> ALL ($2::text[]) AND not_before < now() - $3 * interval '1 ms'`,
      [owner, [...held(), ...arriving], ageMs],
    );
  }

  async countWaiting(): Promise<number> {
    const { rows } = await this.pool.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM (
         SELECT FROM dispatcher.deliveries WHERE state = 'waiting' LIMIT ${waitingCountMax}) AS w`,
    );
    return rows[0]?.waiting ?? 0;
  }

  /** Waits for the statements under way. */
  async close(): Promise<void> {
    await Promise.all([this.inserts.close(), this.settlements.close()]);
  }

  private async free(condition: string, values: unknown[]): Promise<number> {
    const { rowCount } = await this.pool.query(
      `UPDATE dispatcher.deliveries
       SET state = 'waiting', owner = NULL, not_before = now() WHERE ${condition}`,
      values,
    );
    return rowCount ?? 0;
  }

  private async nextDue(): Promise<number | null> {
    const { rows } = await this.pool.query<{ due_in_ms: number | null }>({
      name: 'deliveries_next_due',
      text: `SELECT (extract(epoch FROM min(not_before) - now()) * 1000)::float8 AS due_in_ms
        FROM dispatcher.deliveries WHERE state = 'waiting' AND not_before > now()`,
    });
    return rows[0]?.due_in_ms ?? null;
  }

  private async commitInserts(
    client: PoolClient,
    items: readonly NewDelivery[],
  ): Promise<boolean[]> {
    const values = insertColumns(items, this.codec);
    const query = arrayQuery({ name: 'deliveries_insert', text: insertSql, values });
    const { rows } = await client.query<{ id: string }>(query);
    const inserted = new Set(rows.map(({ id }) => id));
    return items.map(({ id }) => inserted.has(id));
  }

  private async commitSettlements(
    client: PoolClient,
    items: readonly Settlement[],
  ): Promise<void[]> {
    const values = settleColumns(items, this.codec, new Date());
    await client.query(arrayQuery({ name: 'deliveries_settle', text: settleSql, values }));
    return items.map(() => undefined);
  }
}

function excerptLength(outcome: Outcome): number {
  return outcome.kind === 'postponed' ? 0 : (outcome.attempt?.bodyExcerpt?.length ?? 0);
}

