import {
  bareSubmissionSchema,
  cloudEventHeaders,
  jobIdSchema,
  jobSubmissionSchema,
  jobTypeSchema,
  kafkaRecordBytesMax,
  type ErrorCode,
  type JobId,
  type JobSubmission,
  type JobType,
} from '@millrace/contracts';

import { isRecord } from './canonical-json.ts';
import { describeErrors, fieldErrors } from './field-error.ts';
import { jsonBoundsError } from './json-bounds.ts';
import { derivedJobId, type RecordPlace } from './job-ids.ts';
import { untimelinessOf } from './job-times.ts';
import {
  hashOf,
  judgeSubmission,
  type IntakeRules,
  type JobOrder,
} from './judge-submission.ts';

/** A record as it lies in the topic. */
export interface SubmittedRecord extends RecordPlace {
  readonly value: Uint8Array | null;
  readonly timestampMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** A job that ends before it began: its sender gave an id, so its sender can be told. */
export interface RefusedJob {
  readonly id: JobId;
  readonly type: JobType;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly callbackUrl: string | undefined;
  readonly requestHash: Buffer;
}

export type DecodedRecord =
  | { readonly kind: 'accepted'; readonly id: JobId; readonly order: JobOrder }
  | { readonly kind: 'refused'; readonly job: RefusedJob }
  | { readonly kind: 'unreadable'; readonly code: ErrorCode; readonly detail: string };

/**
 * Reads a record of `jobs.submitted.v1`: CloudEvents in binary mode, or the bare form. Never
 * throws, whatever the bytes: what cannot be read says why.
 */
export function decodeRecord(record: SubmittedRecord, rules: IntakeRules): DecodedRecord {
  const type = record.headers[cloudEventHeaders.type];
  if (type !== undefined && type !== submittedType) {
    return unreadable('unknown_type', `the type is ${JSON.stringify(type.slice(0, 200))}`);
  }
  const version = record.headers[cloudEventHeaders.specVersion] ?? specVersion;
  if (type !== undefined && version !== specVersion) {
    const detail = `the specversion is ${JSON.stringify(version.slice(0, 200))}`;
    return unreadable('unknown_type', detail);
  }
  const read = readJson(record.value);
  if (!read.ok) return unreadable(read.code, read.detail);
  const isBare = type === undefined;
  const content = readContent(read.json, isBare);
  if (!content.ok) return refuse(read.json, { ...content, rules });
  const judged = judgeSubmission(content.submission, rules);
  if (!judged.ok) {
    const { code, errors, detail } = judged.refusal;
    const said = code === 'refused_by_model' ? describeErrors(errors) : detail;
    return refuse(read.json, { code, detail: said, rules });
  }
  // By the record's own time, so that a record that comes again is judged as it was.
  const untimely = untimelinessOf(judged.order.times, new Date(record.timestampMs));
  if (untimely !== null) return refuse(read.json, { ...untimely, rules });
  const id = content.submission.job_id ?? derivedJobId(record);
  return { kind: 'accepted', id, order: judged.order };
}

const submittedType = 'millrace.job.submitted.v1';
const specVersion = '1.0';

type Unread = { readonly ok: false; readonly code: ErrorCode; readonly detail: string };

/** Decodes strictly: a byte that is not UTF-8 must not become a question mark in a prompt. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

function readJson(value: Uint8Array | null): { ok: true; json: unknown } | Unread {
  if (value === null || value.length === 0) {
    return { ok: false, code: 'empty_record', detail: 'the record has no value' };
  }
  if (value.length > kafkaRecordBytesMax) {
    const detail = `the value has ${value.length} bytes, at most ${kafkaRecordBytesMax} are read`;
    return { ok: false, code: 'payload_too_large', detail };
  }
  let text: string;
  try {
    text = utf8.decode(value);
  } catch {
    return { ok: false, code: 'not_utf8', detail: 'the value is not UTF-8' };
  }
  try {
    return { ok: true, json: JSON.parse(text) };
  } catch {
    return { ok: false, code: 'malformed_json', detail: 'the value is not JSON' };
  }
}

function readContent(
  json: unknown,
  isBare: boolean,
): { ok: true; submission: JobSubmission } | Unread {
  const bounds = jsonBoundsError(json);
  if (bounds !== null) return invalid(bounds);
  if (!isBare) {
    const parsed = jobSubmissionSchema.safeParse(json);
    return parsed.success
      ? { ok: true, submission: parsed.data }
      : invalid(describeErrors(fieldErrors(parsed.error)));
  }
  const parsed = bareSubmissionSchema.safeParse(json);
  if (!parsed.success) {
    const said = describeErrors(fieldErrors(parsed.error));
    return invalid(hasFieldsOfEvent(json) ? `${said}; ${eventHint}` : said);
  }
  // When it was handed over upstream is the sender's note; the job begins when it is durable here.
  const { submitted_at: _submittedAt, ...submission } = parsed.data;
  return { ok: true, submission: { type: 'message', ...submission } };
}

const eventHeader = `${cloudEventHeaders.type}: ${submittedType}`;
const eventHint = `other fields are read with the header ${eventHeader}`;

/** Whether its sender left out the header that says what it is. */
function hasFieldsOfEvent(json: unknown): boolean {
  if (!isRecord(json)) return false;
  return Object.keys(json).some(
    (field) => field in jobSubmissionSchema.shape && !(field in bareSubmissionSchema.shape),
  );
}

function invalid(detail: string): Unread {
  return { ok: false, code: 'invalid_request', detail };
}

function unreadable(code: ErrorCode, detail: string): DecodedRecord {
  return { kind: 'unreadable', code, detail };
}

/** A failed job where the sender's id can be read, else a dead letter. */
function refuse(
  json: unknown,
  o: { readonly code: ErrorCode; readonly detail: string; readonly rules: IntakeRules },
): DecodedRecord {
  const body = isRecord(json) ? json : {};
  const id = jobIdSchema.safeParse(body['job_id']);
  if (!id.success) return unreadable(o.code, o.detail);
  const { job_id: _id, submitted_at: _submittedAt, ...content } = body;
  const type = jobTypeSchema.safeParse(body['type']);
  const job: RefusedJob = {
    id: id.data,
    type: type.success ? type.data : 'message',
    code: o.code,
    detail: o.detail,
    callbackUrl: safeCallbackUrl(body['callback_url'], o.rules),
    requestHash: refusedHash(content),
  };
  return { kind: 'refused', job };
}

/** Too deep to be walked by recursion is hashed as JSON writes it: V8 bounds that by itself. */
function refusedHash(content: Record<string, unknown>): Buffer {
  return hashOf(jsonBoundsError(content) === null ? content : shallowText(content));
}

function shallowText(content: Record<string, unknown>): string {
  try {
    return JSON.stringify(content);
  } catch {
    return Object.keys(content).sort().join(',');
  }
}

function safeCallbackUrl(url: unknown, rules: IntakeRules): string | undefined {
  return typeof url === 'string' && rules.checkUrl(url).ok ? url : undefined;
}
