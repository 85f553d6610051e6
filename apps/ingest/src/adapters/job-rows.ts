import {
  jobIdSchema,
  jobTypeSchema,
  sessionIdSchema,
  tenantIdSchema,
  type PayloadCodec,
  type TenantId,
} from '@millrace/contracts';

import { jobView, type JobRecord } from '../core/job-view.ts';
import type { StandingJobRow } from '../ports.ts';
import type { JobRow } from './find-job.ts';
import type { StandingRow } from './find-standing-jobs.ts';

/** A row as it is read, its bodies decoded. */
export function jobRecordOf(codec: PayloadCodec, tenant: TenantId, row: JobRow): JobRecord {
  const text = (body: Buffer | null): string | null =>
    body === null ? null : codec.decode(body, { tenant, medium: 'table' }).toString('utf8');
  return {
    id: row.id,
    type: row.type,
    status: row.status,
    lane: row.lane,
    sessionId: row.session_id,
    model: row.model,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    runAt: row.run_at,
    completeBy: row.complete_by,
    traceparent: row.traceparent,
    metadataJson: text(row.metadata),
    outcomeJson: text(row.outcome),
    answerJson: text(row.answer),
    redriveOf: row.redrive_of,
    forkOf: row.fork_of,
  };
}

/** A row with what it published first, or will. */
export function standingJobOf(codec: PayloadCodec, row: StandingRow): StandingJobRow {
  const tenant = tenantIdSchema.parse(row.tenant);
  const record = { ...row, metadata: null, outcome: null, answer: null, finished_at: null };
  return {
    tenant,
    id: jobIdSchema.parse(row.id),
    type: jobTypeSchema.parse(row.type),
    view: jobView(jobRecordOf(codec, tenant, record)),
    sessionId: row.session_id === null ? null : sessionIdSchema.parse(row.session_id),
    requestHash: row.request_hash,
    refused: row.refused,
    firstEventJson: codec.decode(row.first_event, { tenant, medium: 'table' }).toString('utf8'),
    traceparent: row.traceparent,
    createdAt: row.created_at,
    seq: row.seq,
    waits: row.waits,
  };
}

/** The same for one of many, none of which waits for another: null when it cannot be read. */
export function readableStandingJob(
  codec: PayloadCodec,
  row: StandingRow,
): StandingJobRow | null {
  try {
    return standingJobOf(codec, row);
  } catch {
    return null;
  }
}
