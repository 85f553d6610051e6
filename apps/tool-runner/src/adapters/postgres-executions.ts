import { assertNever, daysAround, traceHeaders, type PayloadCodec } from '@millrace/contracts';
import { arrayQuery, GroupCommit, type Pool, type PoolClient } from '@millrace/postgres';
import { failpoint } from '@millrace/runtime';
import { settleLinger, type Claimed, type ReleaseUnheld } from '@millrace/work';

import {
  executionId,
  type Execution,
  type ExecutionName,
  type NewExecution,
} from '../core/execution.ts';
import type { Outcome } from '../core/outcome.ts';
import {
  Executions,
  type ClaimOptions,
  type ExecutionCancel,
  type Inserted,
  type Settlement,
  type ToldEnd,
} from '../ports.ts';
import { encodeRequest, endsAtMs, executionOfRow, type ExecutionRow } from './execution-rows.ts';
import * as sql from './execution-statements.ts';

/** Beyond this the exact number of waiting rows helps nobody, and counting it costs. */
const waitingCountMax = 100_000;

interface NameRow {
  readonly tenant: string;
  readonly call_id: string;
}

interface InsertedRow extends NameRow {
  readonly left_ms: number | null;
}

interface EndRow extends NameRow {
  readonly completion_type: string;
  readonly completion: Buffer;
}

/**
 * Executions in Postgres.
 *
 * E1 A row is owned by at most one living process; only its owner settles it.
 * E2 A row that was inserted or claimed as ours, by a statement whose answer was lost, is never
 *    started: `releaseUnheld` puts it back, since nobody else frees what a living process owns.
 * E3 While a row runs, `not_before` is when it was given to its owner.
 * E4 What a row tells of its end is written once, with the end.
 */
export class PostgresExecutions extends Executions {
  private readonly inserts: GroupCommit<NewExecution, Inserted>;
  private readonly settlements: GroupCommit<Settlement, boolean>;
  /** Inserts whose outcome is still to come: their rows are on their way to us. */
  private readonly inserting = new Set<readonly NewExecution[]>();

  constructor(
    private readonly pool: Pool,
    private readonly codec: PayloadCodec,
  ) {
    super();
    this.inserts = new GroupCommit({
      name: 'executions insert',
      pool,
      keyOf: ({ id }) => id,
      commit: (client, items) => this.commitInserts(client, items),
    });
    this.settlements = new GroupCommit({
      name: 'executions settle',
      pool,
      keyOf: ({ execution }) => execution.id,
      // The row keeps what the message carries.
      bytesOf: ({ message }) => 2 * (message?.value?.length ?? 0),
      linger: settleLinger,
      commit: (client, items) => this.commitSettlements(client, items),
    });
  }

  async insert(executions: readonly NewExecution[]): Promise<PromiseSettledResult<Inserted>[]> {
    this.inserting.add(executions);
    try {
      return await this.inserts.submitAll(executions);
    } finally {
      this.inserting.delete(executions);
    }
  }

  async ends(names: readonly ExecutionName[]): Promise<Map<string, ToldEnd>> {
    const days = names.map(({ day }) => day);
    // Without a name: a plan that was kept from when the table was small scans all of it.
    const { rows } = await this.pool.query<EndRow>(
      arrayQuery({ text: sql.endsSql, values: [...namesOf(names), ...daysAround(days)] }),
    );
    return new Map(
      rows.map(({ tenant, call_id, completion_type: type, completion }) => {
        const json = this.codec.decode(completion, { tenant, medium: 'table' }).toString('utf8');
        return [executionId(tenant, call_id), { type, json }];
      }),
    );
  }

  async cancel(cancels: readonly ExecutionCancel[]): Promise<void> {
    const encoded = cancels.map(({ completion, tenant }) =>
      this.encoded(Buffer.from(JSON.stringify(completion.data)), tenant),
    );
    const types = cancels.map(({ completion }) => completion.type);
    await this.pool.query(
      arrayQuery({ text: sql.cancelSql, values: [...namesOf(cancels), types, encoded] }),
    );
  }

  async claim(options: ClaimOptions): Promise<Claimed<Execution>> {
    const { owner, limit, busy, roomElsewhere } = options;
    await failpoint('executions.claiming');
    const claim = { owner, askedAtMs: performance.now() };
    const { rows } = await this.pool.query<ExecutionRow>({
      name: 'executions_claim',
      text: sql.claimSql,
      values: [
        owner,
        limit,
        busy.map(({ tenant }) => tenant),
        busy.map(({ origin }) => origin),
        busy.map(({ room }) => room),
        roomElsewhere,
      ],
    });
    if (rows.length > 0) await failpoint('executions.claimed');
    const executions = rows.map((row) => executionOfRow(row, claim, this.codec));
    // A full claim is followed by another as soon as there is room: no need to look ahead.
    return { rows: executions, nextDueInMs: rows.length === limit ? null : await this.nextDue() };
  }

  async claimExpired(owner: string, limit: number): Promise<Execution[]> {
    const claim = { owner, askedAtMs: performance.now() };
    const { rows } = await this.pool.query<ExecutionRow>({
      name: 'executions_claim_expired',
      text: sql.claimExpiredSql,
      values: [owner, limit],
    });
    return rows.map((row) => executionOfRow(row, claim, this.codec));
  }

  settle(settlement: Settlement): Promise<boolean> {
    return this.settlements.submit(settlement);
  }

  async cancelRequested(owner: string): Promise<string[]> {
    const { rows } = await this.pool.query<NameRow>({
      name: 'executions_cancel_requested',
      text: `SELECT tenant, call_id FROM tools.executions
        WHERE owner = $1 AND cancel_requested`,
      values: [owner],
    });
    return rows.map(({ tenant, call_id }) => executionId(tenant, call_id));
  }

  reap(deadOwners: readonly string[]): Promise<number> {
    return this.free('lost = lost + 1', 'owner = ANY($1::text[])', [deadOwners]);
  }

  releaseUnheld({ owner, held, ageMs }: ReleaseUnheld): Promise<number> {
    const arriving = [...this.inserting].flatMap((rows) => rows.map(({ id }) => id));
    return this.free(
      'lost = lost',
      `owner = $1 AND tenant || '/' || call_id <> ALL ($2::text[])
       AND not_before < now() - $3 * interval '1 ms'`,
      [owner, [...held(), ...arriving], ageMs],
    );
  }

  async countWaiting(): Promise<number> {
    const { rows } = await this.pool.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM (
         SELECT FROM tools.executions WHERE state = 'waiting' LIMIT ${waitingCountMax}) AS w`,
    );
    return rows[0]?.waiting ?? 0;
  }

  /** Waits for the statements under way. */
  async close(): Promise<void> {
    await Promise.all([this.inserts.close(), this.settlements.close()]);
  }

  private async free(change: string, condition: string, values: unknown[]): Promise<number> {
    const { rowCount } = await this.pool.query(
      `UPDATE tools.executions
       SET state = 'waiting', owner = NULL, not_before = now(), ${change} WHERE ${condition}`,
      values,
    );
    return rowCount ?? 0;
  }

  private async nextDue(): Promise<number | null> {
    const { rows } = await this.pool.query<{ due_in_ms: number | null }>({
      name: 'executions_next_due',
      text: `SELECT (extract(epoch FROM min(not_before) - now()) * 1000)::float8 AS due_in_ms
        FROM tools.executions WHERE state = 'waiting' AND not_before > now()`,
    });
    return rows[0]?.due_in_ms ?? null;
  }

  private encoded(body: Buffer, tenant: string): Buffer {
    return this.codec.encode(body, { tenant, medium: 'table' });
  }

  private async commitInserts(
    client: PoolClient,
    items: readonly NewExecution[],
  ): Promise<Inserted[]> {
    const askedAtMs = performance.now();
    const values = [
      ...namesOf(items),
      items.map(({ request }) => request.kind),
      items.map(({ request }) => encodeRequest(request, this.codec)),
      items.map(({ origin }) => origin),
      items.map((item) => item.traceHeaders[traceHeaders.parent] ?? null),
      items.map((item) => item.traceHeaders[traceHeaders.state] ?? null),
      items.map(({ owner }) => owner),
      items.map(({ completeByMs }) => (completeByMs === null ? null : new Date(completeByMs))),
    ];
    const query = arrayQuery({ name: 'executions_insert', text: sql.insertSql, values });
    await failpoint('executions.inserting');
    const { rows } = await client.query<InsertedRow>(query);
    await failpoint('executions.inserted');
    const inserted = new Map(rows.map((row) => [executionId(row.tenant, row.call_id), row]));
    return items.map(({ id }) => {
      const row = inserted.get(id);
      if (row === undefined) return { kind: 'known' };
      return { kind: 'new', endsAtMs: endsAtMs(row.left_ms, askedAtMs) };
    });
  }

  private async commitSettlements(
    client: PoolClient,
    items: readonly Settlement[],
  ): Promise<boolean[]> {
    const executions = items.map(({ execution }) => execution);
    const changes = items.map(({ outcome }) => changeOf(outcome));
    const values = [
      ...namesOf(executions),
      executions.map(({ owner }) => owner),
      executions.map(({ attempts, lost }) => attempts + lost),
      changes.map(({ state }) => state),
      changes.map(({ counted }) => counted),
      changes.map(({ afterMs }) => afterMs),
      changes.map(({ completionType }) => completionType),
      // A public event's body is its JSON, without our codec.
      items.map(({ execution, message }) =>
        message?.value == null ? null : this.encoded(message.value, execution.tenant),
      ),
      items.map(({ message }) => message?.topic ?? null),
      items.map(({ message }) => message?.key ?? null),
      items.map(({ message }) => (message === null ? null : JSON.stringify(message.headers))),
      items.map(({ message }) => message?.value ?? null),
      ...daysAround(executions.map(({ day }) => day)),
    ];
    const query = arrayQuery({ name: 'executions_settle', text: sql.settleSql, values });
    await failpoint('executions.settling');
    const { rows } = await client.query<NameRow>(query);
    await failpoint('executions.settled');
    return areAmong(executions, rows);
  }
}

function namesOf(names: readonly ExecutionName[]): [string[], string[], string[]] {
  return [
    names.map(({ tenant }) => tenant),
    names.map(({ callId }) => callId),
    names.map(({ day }) => day),
  ];
}

function areAmong(names: readonly ExecutionName[], rows: readonly NameRow[]): boolean[] {
  const found = new Set(rows.map(({ tenant, call_id }) => executionId(tenant, call_id)));
  return names.map(({ id }) => found.has(id));
}

interface Change {
  readonly state: 'waiting' | 'ended';
  readonly counted: boolean;
  readonly afterMs: number;
  readonly completionType: string | null;
}

function changeOf(outcome: Outcome): Change {
  switch (outcome.kind) {
    case 'ended': {
      const { attempted, completion } = outcome;
      return { state: 'ended', counted: attempted, afterMs: 0, completionType: completion.type };
    }
    case 'retry':
      return { state: 'waiting', counted: true, afterMs: outcome.afterMs, completionType: null };
    case 'postponed':
      return { state: 'waiting', counted: false, afterMs: outcome.afterMs, completionType: null };
    default:
      return assertNever(outcome);
  }
}
