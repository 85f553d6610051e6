import { isUtf8 } from 'node:buffer';

import type { ErrorCode, Topic } from '@millrace/contracts';
import { cloudEventHeaders, jsonDepthMax, kafkaRecordBytesMax } from '@millrace/contracts';

export interface BadRecord {
  readonly kind: 'bad';
  readonly code: ErrorCode;
  /** For people; never the record's content. */
  readonly detail: string;
}

export interface DecodedJson {
  readonly kind: 'json';
  readonly value: unknown;
}

export interface DecodedEvent<Data = unknown> {
  readonly kind: 'event';
  readonly id: string;
  readonly type: string;
  readonly data: Data;
}

export interface EncodedRecord {
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Issues told of one bad record: enough to mend it, too few to fill a header. */
const issuesToldMax = 5;

/** Reads a record's value as JSON. For intakes that take forms which are no CloudEvents. */
export function decodeJson(value: Buffer | null): DecodedJson | BadRecord {
  if (value === null || value.length === 0) return bad('empty_record', 'the record has no value');
  if (value.length > kafkaRecordBytesMax) {
    return bad('payload_too_large', `${value.length} bytes; the limit is ${kafkaRecordBytesMax}`);
  }
  if (!isUtf8(value)) return bad('not_utf8', 'the value is not UTF-8');
  if (isTooDeep(value)) {
    return bad('malformed_json', `the value is nested deeper than ${jsonDepthMax} levels`);
  }
  return parseJson(value);
}

/**
 * Reads a record of a topic in the table: its `ce_type` chooses the schema.
 *
 * @param decodeBody turns stored bytes into JSON text: the payload codec, or identity.
 */
export function decodeEvent<Data>(
  topic: Topic<Data>,
  record: EncodedRecord,
  decodeBody: (body: Buffer) => Buffer,
): DecodedEvent<Data> | BadRecord {
  const type = record.headers[cloudEventHeaders.type];
  if (type === undefined) return bad('unknown_type', `no ${cloudEventHeaders.type} header`);
  const schema = Object.hasOwn(topic.types, type) ? topic.types[type] : undefined;
  if (schema === undefined) {
    return bad('unknown_type', `${printable(type)} is not a type of ${topic.name}`);
  }
  const json = decodeJson(record.value === null ? null : decodeBody(record.value));
  if (json.kind === 'bad') return json;
  const parsed = schema.safeParse(json.value);
  if (!parsed.success) return bad('invalid_request', describeIssues(parsed.error.issues));
  return { kind: 'event', id: record.headers[cloudEventHeaders.id] ?? '', type, data: parsed.data };
}

function parseJson(value: Buffer): DecodedJson | BadRecord {
  try {
    return { kind: 'json', value: JSON.parse(value.toString('utf8')) };
  } catch {
    // The parser's own message quotes the text, which may hold a secret.
    return bad('malformed_json', 'the value is not JSON');
  }
}

/** Counts brackets outside strings, without building anything: the parser comes after this. */
function isTooDeep(json: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (inString) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > jsonDepthMax) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return false;
}

function describeIssues(issues: readonly { path: PropertyKey[]; message: string }[]): string {
  const told = issues
    .slice(0, issuesToldMax)
    .map(({ path, message }) => `${path.map(String).join('.') || 'value'}: ${message}`);
  const more = issues.length - told.length;
  return told.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

/** A header's text as it may stand in another header and in a log line. */
function printable(text: string): string {
  return text.slice(0, 128).replace(/[^\x20-\x7e]/g, '?');
}

function bad(code: ErrorCode, detail: string): BadRecord {
  return { kind: 'bad', code, detail };
}
