import {
  findTopic,
  jobIdSchema,
  outgoingMessageId,
  type DeadLetterFilter,
  type DeadLetterSummary,
  type DeadLetterView,
  type PayloadCodec,
} from '@millrace/contracts';
import type { Pool, QueryConfig, QueryResultRow, TenantDatabase } from '@millrace/postgres';
import { z } from 'zod';

import type { DeadLetterQuery, RedriveSearch } from '../core/dead-letter-query.ts';
import {
  bytesView,
  originalHeaders,
  type IndexedLetter,
  type LetterOwner,
} from '../core/dead-letter.ts';
import type { ListCursor } from '../core/list-cursor.ts';
import type { StoredLetter } from '../core/redrive.ts';
import { DeadLetters, type FoundLetter, type Redrive } from '../ports.ts';

interface RedriveRow {
  readonly redrive_count: number;
  readonly redriven_at: Date | null;
  readonly redrive_job_id: string | null;
}

interface SummaryRow extends RedriveRow {
  readonly id: string;
  readonly topic: string;
  readonly record_partition: number;
  readonly record_offset: string;
  readonly code: string;
  readonly detail: string;
  readonly service: string;
  readonly at: Date;
}

interface FoundRow extends Pick<SummaryRow, 'id' | 'at' | 'redrive_count'> {
  readonly place: string;
}

interface LetterRow extends SummaryRow {
  readonly headers: Buffer;
  readonly record_key: Buffer | null;
  readonly value: Buffer | null;
}

const summaryColumns = `id, topic, record_partition, record_offset, code, detail, service, at`;

/** In key order, so that two replicas that read one partition twice never deadlock. */
const insertText = `
INSERT INTO ingest.dead_letters (tenant, ${summaryColumns}, headers, record_key, value)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::timestamptz[], $10::bytea[], $11::bytea[], $12::bytea[]
) AS input(tenant, ${summaryColumns}, headers, record_key, value)
ORDER BY tenant, id
ON CONFLICT (tenant, id) DO NOTHING`;

/** What came of it later: the index knows nothing of that. */
const redriveColumns = 'redrive_count, redriven_at, redrive_job_id';

/** What `filterValues` says. */
const filterSql = `tenant = $1
  AND ($2::text IS NULL OR topic = $2)
  AND ($3::text IS NULL OR code = $3)
  AND ($4::text IS NULL OR service = $4)
  AND ($5::timestamptz IS NULL OR at >= $5)
  AND ($6::timestamptz IS NULL OR at < $6)`;

const listText = `
SELECT ${summaryColumns}, ${redriveColumns}
FROM ingest.dead_letters
WHERE ${filterSql}
  AND ($7::timestamptz IS NULL OR (at, id) < ($7, $8))
  AND ($10::boolean IS NULL OR (redrive_count > 0) = $10)
ORDER BY at DESC, id DESC
LIMIT $9`;

/** Many letters are given up in one moment: those of a partition stay in their order. */
const searchText = `
SELECT id, at, place, redrive_count
FROM ingest.dead_letters, LATERAL (
  SELECT concat_ws('/', lpad(record_partition::text, 10, '0'), lpad(record_offset, 20, '0'), id)
    COLLATE "C" AS place
) AS placed
WHERE ${filterSql}
  AND ($7::timestamptz IS NULL OR (at, place) > ($7, $8))
  AND CASE WHEN $10::timestamptz IS NULL THEN redrive_count = 0 ELSE redriven_at < $10 END
ORDER BY at, place
LIMIT $9`;

const findText = `
SELECT ${summaryColumns}, ${redriveColumns}, headers, record_key, value
FROM ingest.dead_letters WHERE tenant = $1 AND id = $2`;

const redriveText = `
WITH marked AS (
  UPDATE ingest.dead_letters
  SET redrive_count = redrive_count + 1, redriven_at = now(), redrive_job_id = $4
  WHERE tenant = $1 AND id = $2 AND redrive_count = $3
  RETURNING redrive_count, redriven_at, redrive_job_id
), announced AS (
  INSERT INTO ingest.outbox (id, topic, key, headers, value)
  SELECT $9, $5, $6, $7::jsonb, $8 FROM marked WHERE $5::text IS NOT NULL
)
SELECT * FROM marked`;

const headersSchema = z.array(z.tuple([z.string(), z.string()]));

export class PostgresDeadLetters extends DeadLetters {
  readonly #pool: Pool;
  readonly #own: TenantDatabase;
  readonly #codec: PayloadCodec;

  constructor(o: { pool: Pool; own: TenantDatabase; codec: PayloadCodec }) {
    super();
    this.#pool = o.pool;
    this.#own = o.own;
    this.#codec = o.codec;
  }

  async index(letters: readonly IndexedLetter[]): Promise<void> {
    await this.#pool.query(insertText, [
      letters.map(({ tenant }) => tenant),
      letters.map(({ id }) => id),
      letters.map(({ topic }) => topic),
      letters.map(({ partition }) => partition),
      letters.map(({ offset }) => offset),
      letters.map(({ code }) => code),
      letters.map(({ detail }) => detail),
      letters.map(({ service }) => service),
      letters.map(({ at }) => at.toISOString()),
      letters.map((letter) => this.#encode(letter, Buffer.from(JSON.stringify(letter.headers)))),
      letters.map(({ key }) => key),
      letters.map((letter) => this.#encode(letter, letter.value)),
    ]);
  }

  async list(owner: LetterOwner, query: DeadLetterQuery): Promise<DeadLetterSummary[]> {
    const { cursor, limit, redriven } = query;
    const values = [
      ...filterValues(owner, query),
      ...placeValues(cursor ?? null),
      limit + 1,
      redriven === undefined ? null : redriven === 'true',
    ];
    const { rows } = await this.#query<SummaryRow>(owner, { text: listText, values });
    return rows.map(summary);
  }

  async search(owner: LetterOwner, search: RedriveSearch): Promise<FoundLetter[]> {
    const { after, filter, limit, redrivenBefore } = search;
    const values = [
      ...filterValues(owner, filter),
      ...placeValues(after),
      limit + 1,
      redrivenBefore,
    ];
    const { rows } = await this.#query<FoundRow>(owner, { text: searchText, values });
    return rows.map(({ redrive_count: redriveCount, ...row }) => ({ ...row, redriveCount }));
  }

  async find(tenant: LetterOwner, id: string): Promise<DeadLetterView | null> {
    const row = await this.#read(tenant, id);
    if (row === null) return null;
    const { headers, key, content } = this.#stored(tenant, row);
    return {
      ...summary(row),
      headers: originalHeaders(headers),
      key: bytesView(key),
      value: bytesView(content),
    };
  }

  async findStored(tenant: LetterOwner, id: string): Promise<StoredLetter | null> {
    const row = await this.#read(tenant, id);
    return row === null ? null : this.#stored(tenant, row);
  }

  async markRedriven(letter: StoredLetter, redrive: Redrive): Promise<StoredLetter | null> {
    const { message } = redrive;
    const { rows } = await this.#pool.query<RedriveRow>(redriveText, [
      letter.tenant,
      letter.id,
      letter.redriveCount,
      redrive.jobId,
      message?.topic ?? null,
      message?.key ?? null,
      message === null ? null : JSON.stringify(message.headers),
      message?.value ?? null,
      message === null ? null : outgoingMessageId(message),
    ]);
    const [row] = rows;
    return row === undefined ? null : { ...letter, ...redriveOf(row) };
  }

  async #read(tenant: LetterOwner, id: string): Promise<LetterRow | null> {
    const query = { text: findText, values: [tenant, id] };
    const { rows } = await this.#query<LetterRow>(tenant, query);
    return rows[0] ?? null;
  }

  /** Row level security shows nobody what is nobody's: only the operator comes here for it. */
  #query<R extends QueryResultRow>(owner: LetterOwner, query: QueryConfig) {
    return owner === '' ? this.#pool.query<R>(query) : this.#own.query<R>(owner, query);
  }

  #stored(tenant: LetterOwner, row: LetterRow): StoredLetter {
    const decode = (body: Buffer) => this.#codec.decode(body, { tenant, medium: 'table' });
    const value = row.value === null ? null : decode(row.value);
    return {
      tenant,
      id: row.id,
      topic: row.topic,
      service: row.service,
      headers: headersSchema.parse(JSON.parse(decode(row.headers).toString('utf8'))),
      key: row.record_key,
      value,
      content: value === null ? null : this.#readable(tenant, row.topic, value),
      ...redriveOf(row),
    };
  }

  #encode(letter: IndexedLetter, body: Buffer | null): Buffer | null {
    return body === null
      ? null
      : this.#codec.encode(body, { tenant: letter.tenant, medium: 'table' });
  }

  /** The record is kept untouched; what is internal was written through the codec. */
  #readable(tenant: LetterOwner, topic: string, value: Buffer): Buffer {
    if (findTopic(topic)?.direction !== 'internal') return value;
    try {
      return this.#codec.decode(value, { tenant, medium: 'kafka' });
    } catch {
      // That it cannot be decoded may be the very reason why it is here.
      return value;
    }
  }
}

function filterValues(owner: LetterOwner, filter: DeadLetterFilter): (string | null)[] {
  const { code, from, service, to, topic } = filter;
  return [owner, topic ?? null, code ?? null, service ?? null, from ?? null, to ?? null];
}

/** Where a page goes on: after this letter. */
function placeValues(place: ListCursor | null): (string | null)[] {
  if (place === null) return [null, null];
  return [new Date(place.createdAtMs).toISOString(), place.id];
}

function summary(row: SummaryRow): DeadLetterSummary {
  const { id, topic, code, detail, service } = row;
  return {
    id,
    topic,
    partition: row.record_partition,
    offset: row.record_offset,
    code,
    detail,
    service,
    at: row.at.toISOString(),
    redrive_count: row.redrive_count,
    redriven_at: row.redriven_at?.toISOString(),
    redrive_job_id: row.redrive_job_id === null ? undefined : jobIdSchema.parse(row.redrive_job_id),
  };
}

function redriveOf(row: RedriveRow) {
  return {
    redriveCount: row.redrive_count,
    redrivenAt: row.redriven_at,
    redriveJobId: row.redrive_job_id,
  };
}
