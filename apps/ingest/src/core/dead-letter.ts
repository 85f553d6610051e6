import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';

import {
  cloudEventHeaders,
  deadLetterHeaders,
  findTopic,
  intakeTenantOf,
  tenantIdSchema,
  type BytesView,
  type TenantId,
} from '@millrace/contracts';

import type { RecordPlace } from './job-ids.ts';

/** A header's name and one of its values in base64; a name may come more than once. */
export type StoredHeader = readonly [name: string, base64: string];

/** Nobody's: the owner of the record is not known, and no tenant's key sees it. */
export type LetterOwner = TenantId | '';

/** A dead letter as it is indexed. */
export interface IndexedLetter {
  readonly tenant: LetterOwner;
  readonly id: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly code: string;
  readonly detail: string;
  readonly service: string;
  readonly headers: readonly StoredHeader[];
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly at: Date;
}

/** A record of a dead letter topic. */
export interface LetterRecord extends RecordPlace {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders?: Readonly<
    Record<string, Buffer | string | readonly (Buffer | string)[]>
  >;
  readonly timestampMs: number;
}

/** Characters of a text that a header brought: it goes into lists. */
const textLengthMax = 1000;
const idDigits = 32;

/** Reads a dead letter. Whatever its headers say, it becomes a row: a letter has no letters. */
export function indexedLetter(record: LetterRecord): IndexedLetter {
  const { headers } = record;
  const topic = textOf(headers, deadLetterHeaders.topic) ?? record.topic.replace(/\.dlq$/, '');
  return {
    tenant: ownerOf(topic, headers),
    id: letterId(record),
    topic,
    partition: partitionOf(headers) ?? record.partition,
    offset: textOf(headers, deadLetterHeaders.offset) ?? record.offset,
    code: textOf(headers, deadLetterHeaders.reason) ?? 'internal',
    detail: textOf(headers, deadLetterHeaders.detail) ?? '',
    service: textOf(headers, deadLetterHeaders.service) ?? '',
    headers: storedHeaders(record.rawHeaders ?? headers),
    key: record.key,
    value: record.value,
    at: timeOf(headers) ?? new Date(record.timestampMs),
  };
}

/**
 * Whose a record of this topic is: an intake topic has one owner, whatever the record says. What
 * many tenants may write to says nothing that is sure.
 */
export function ownerOf(topic: string, headers: Readonly<Record<string, string>>): LetterOwner {
  const owner = intakeTenantOf(topic);
  if (owner !== null) return owner;
  const row = findTopic(topic);
  const isOurs = row !== undefined && row.direction !== 'public-in';
  const written = isOurs ? headers[cloudEventHeaders.tenant] : undefined;
  const tenant = tenantIdSchema.safeParse(written);
  return tenant.success ? tenant.data : '';
}

/** The headers as the record had them before it became a dead letter, as text. */
export function originalHeaders(headers: readonly StoredHeader[]): Record<string, string> {
  const added = new Set<string>(Object.values(deadLetterHeaders));
  const kept = headers.filter(([name]) => !added.has(name));
  return Object.fromEntries(
    kept.map(([name, base64]) => [name, Buffer.from(base64, 'base64').toString('utf8')]),
  );
}

/** Bytes as a JSON document can carry them. */
export function bytesView(bytes: Buffer | null): BytesView | null {
  if (bytes === null) return null;
  return isUtf8(bytes)
    ? { encoding: 'text', data: bytes.toString('utf8') }
    : { encoding: 'base64', data: bytes.toString('base64') };
}

/** The place says who it is, and the cluster: a new cluster counts its offsets anew. */
function letterId(place: RecordPlace): string {
  const cause = [place.clusterId, place.topic, place.partition, place.offset].join('\u0000');
  return `dl_${createHash('sha256').update(cause).digest('hex').slice(0, idDigits)}`;
}

/** A text column refuses U+0000, and one such header would fail a whole batch. */
function textOf(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  return headers[name]?.replaceAll('\u0000', '\ufffd').slice(0, textLengthMax).toWellFormed();
}

function partitionOf(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers[deadLetterHeaders.partition] ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function timeOf(headers: Readonly<Record<string, string>>): Date | undefined {
  const text = headers[deadLetterHeaders.at] ?? '';
  const isOurs = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text);
  return isOurs && !Number.isNaN(Date.parse(text)) ? new Date(text) : undefined;
}

function storedHeaders(raw: NonNullable<LetterRecord['rawHeaders']>): StoredHeader[] {
  return Object.entries(raw).flatMap(([name, value]) => {
    const values = typeof value === 'string' || Buffer.isBuffer(value) ? [value] : value;
    return values.map((one): StoredHeader => [name, Buffer.from(one).toString('base64')]);
  });
}
