import {
  findTopic,
  type DeadLetterSummary,
  type DeadLetterView,
  type PayloadCodec,
  type TenantId,
} from '@millrace/contracts';
import type { Pool, TenantDatabase } from '@millrace/postgres';
import { z } from 'zod';

import type { DeadLetterQuery } from '../core/dead-letter-query.ts';
import { bytesView, originalHeaders, type IndexedLetter } from '../core/dead-letter.ts';
import { DeadLetters } from '../ports.ts';

interface SummaryRow {
  readonly id: string;
  readonly topic: string;
  readonly record_partition: number;
  readonly record_offset: string;
  readonly code: string;
  readonly detail: string;
  readonly service: string;
  readonly at: Date;
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

const listText = `
SELECT ${summaryColumns}
FROM ingest.dead_letters
WHERE tenant = $1
  AND ($2::text IS NULL OR topic = $2)
  AND ($3::text IS NULL OR code = $3)
  AND ($4::timestamptz IS NULL OR (at, id) < ($4, $5))
ORDER BY at DESC, id DESC
LIMIT $6`;

const findText = `
SELECT ${summaryColumns}, headers, record_key, value
FROM ingest.dead_letters WHERE tenant = $1 AND id = $2`;

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

  async list(tenant: TenantId, query: DeadLetterQuery): Promise<DeadLetterSummary[]> {
    const { cursor } = query;
    const values = [
      tenant,
      query.topic ?? null,
      query.code ?? null,
      cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString(),
      cursor?.id ?? null,
      query.limit + 1,
    ];
    const { rows } = await this.#own.query<SummaryRow>(tenant, { text: listText, values });
    return rows.map(summary);
  }

  async find(tenant: TenantId, id: string): Promise<DeadLetterView | null> {
    const query = { text: findText, values: [tenant, id] };
    const { rows } = await this.#own.query<LetterRow>(tenant, query);
    const row = rows[0];
    if (row === undefined) return null;
    const decode = (body: Buffer) => this.#codec.decode(body, { tenant, medium: 'table' });
    const stored = headersSchema.parse(JSON.parse(decode(row.headers).toString('utf8')));
    const value = row.value === null ? null : this.#readable(tenant, row.topic, decode(row.value));
    return {
      ...summary(row),
      headers: originalHeaders(stored),
      key: bytesView(row.record_key),
      value: bytesView(value),
    };
  }

  #encode(letter: IndexedLetter, body: Buffer | null): Buffer | null {
    return body === null
      ? null
      : this.#codec.encode(body, { tenant: letter.tenant, medium: 'table' });
  }

  /** The record is kept untouched; what is internal was written through the codec. */
  #readable(tenant: TenantId, topic: string, value: Buffer): Buffer {
    if (findTopic(topic)?.direction !== 'internal') return value;
    try {
      return this.#codec.decode(value, { tenant, medium: 'kafka' });
    } catch {
      // That it cannot be decoded may be the very reason why it is here.
      return value;
    }
  }
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
  };
}
