import type { PayloadCodec } from '@millrace/contracts';
import { arrayQuery, GroupCommit, type Pool, type PoolClient } from '@millrace/postgres';
import type { Claimed, ReleaseUnheld } from '@millrace/work';

import type { Delivery, NewDelivery } from '../core/delivery.ts';
import type { SettledLane } from '../core/disable-policy.ts';
import { laneKeyOf } from '../core/lane.ts';
import type { Outcome } from '../core/outcome.ts';
import {
  Deliveries,
  type ClaimOptions,
  type DeliveryRedrive,
  type Inserted,
  type Settlement,
} from '../ports.ts';
import { claimSql, deliveryOfRow, nextReadySql, type DeliveryRow } from './claim-sql.ts';
import { insertColumns, insertSql, type InsertedRow } from './insert-sql.ts';
import { laneSightOfRow } from './lane-sight-sql.ts';
import { redriveColumns, redriveSql } from './redrive-sql.ts';
import {
  settleColumns,
  settledLaneOfRow,
  settleNeeds,
  settleSql,
  type SettledLaneRow,
} from './settle-sql.ts';
import { wakeLanesSql } from './wake-sql.ts';

/** After a claim that brought something the next one asks when something is due. */
const lookAgainMs = 100;
/** Beyond this the exact number of waiting rows helps nobody, and counting it costs. */
const waitingCountMax = 100_000;

/**
 * Deliveries in Postgres.
 *
 * D1 A row is owned by at most one living process; only its owner settles it.
 * D2 A row that was inserted or claimed as ours, by a statement whose answer was lost, is never
 *    started: `releaseUnheld` puts it back, since nobody else frees what a living process owns.
 * D3 While a row is being sent, `not_before` is when it was given to its owner.
 * D4 Every statement that makes a row wait tells its lane so, at once with it.
 */
export class PostgresDeliveries extends Deliveries {
  private readonly inserts: GroupCommit<NewDelivery, Inserted>;
  private readonly settlements: GroupCommit<Settlement, SettledLane | null>;
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
      bytesOf: ({ body, record }) => body.length + (record?.value?.length ?? 0),
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

  async insert(deliveries: readonly NewDelivery[]): Promise<PromiseSettledResult<Inserted>[]> {
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
    const { owner, limit, busy, crowded, tenantMax } = options;
    const askedAtMs = Date.now();
    const { rows } = await this.pool.query<DeliveryRow>({
      name: 'deliveries_claim',
      text: claimSql,
      values: [
        owner,
        limit,
        busy.map(({ tenant }) => tenant),
        busy.map(({ origin }) => origin),
        busy.map(({ room }) => room),
        crowded.map(({ tenant }) => tenant),
        crowded.map(({ room }) => room),
        tenantMax,
      ],
    });
    const deliveries = rows.map((row) => deliveryOfRow(row, { owner, askedAtMs }, this.codec));
    return { rows: deliveries, nextDueInMs: await this.nextLook(rows.length, limit) };
  }

  settle(settlement: Settlement): Promise<SettledLane | null> {
    return this.settlements.submit(settlement);
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
    const { rows } = await this.pool.query<{ freed: number }>(
      `WITH freed AS (
         UPDATE dispatcher.deliveries
         SET state = 'waiting', owner = NULL, not_before = now() WHERE ${condition}
         RETURNING tenant, origin, not_before
       ), woken AS (
         ${wakeLanesSql('SELECT tenant, origin, not_before FROM freed')}
       )
       SELECT count(*)::int AS freed FROM freed`,
      values,
    );
    return rows[0]?.freed ?? 0;
  }

  /** A statement for it only when there is time: under load the next claim comes by itself. */
  private async nextLook(given: number, limit: number): Promise<number | null> {
    // A full claim is followed by another as soon as there is room.
    if (given === limit) return null;
    return given > 0 ? lookAgainMs : this.nextReady();
  }

  private async nextReady(): Promise<number | null> {
    const { rows } = await this.pool.query<{ due_in_ms: number | null }>({
      name: 'lanes_next_ready',
      text: nextReadySql,
    });
    return rows[0]?.due_in_ms ?? null;
  }

  private async commitInserts(
    client: PoolClient,
    items: readonly NewDelivery[],
  ): Promise<Inserted[]> {
    const values = insertColumns(items, this.codec);
    const query = arrayQuery({ name: 'deliveries_insert', text: insertSql, values });
    const askedAtMs = Date.now();
    const { rows } = await client.query<InsertedRow>(query);
    const inserted = new Map(rows.map((row) => [row.id, insertedOfRow(row, askedAtMs)]));
    return items.map(({ id }) => inserted.get(id) ?? { kind: 'known' });
  }

  private async commitSettlements(
    client: PoolClient,
    items: readonly Settlement[],
  ): Promise<(SettledLane | null)[]> {
    const values = settleColumns(items, this.codec, new Date());
    const needs = settleNeeds(items);
    const query = arrayQuery({
      name: `deliveries_settle_${Object.values(needs).map(Number).join('')}`,
      text: settleSql(needs),
      values,
    });
    const { rows } = await client.query<SettledLaneRow>(query);
    const lanes = new Map(rows.map((row) => [laneKeyOf(row), settledLaneOfRow(row)]));
    return items.map(({ delivery, lane }) =>
      lane === null ? null : (lanes.get(laneKeyOf(delivery)) ?? null),
    );
  }
}

function insertedOfRow(row: InsertedRow, askedAtMs: number): Inserted {
  return row.state === 'sending'
    ? { kind: 'ours', sight: laneSightOfRow(row, askedAtMs) }
    : { kind: 'left' };
}

function excerptLength(outcome: Outcome): number {
  return outcome.kind === 'postponed' ? 0 : (outcome.attempt?.bodyExcerpt?.length ?? 0);
}

