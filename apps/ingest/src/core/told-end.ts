import {
  jobFinishedSchema,
  jobReplySchema,
  topics,
  type JobFinished,
  type JobReply,
  type ServiceName,
} from '@millrace/contracts';
import { z } from 'zod';

import { answerSchema, outcomeSchema } from './job-view.ts';
import type { EventRoute } from './new-job.ts';

/** A job that has ended, as its rows tell it. Bodies are JSON texts. */
export interface EndedJob {
  readonly tenant: string;
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly sessionId: string | null;
  /** It ended as it arrived: `firstEventJson` is its end, and not its request. */
  readonly refused: boolean;
  /** It ended before its `run_at`, and nobody was asked to run it. */
  readonly unreleased: boolean;
  readonly firstEventJson: string;
  readonly outcomeJson: string | null;
  readonly answerJson: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date;
}

/** The terminal event as it was told first: who consumes it cannot see a difference. */
export interface ToldEvent {
  readonly route: EventRoute;
  readonly source: ServiceName;
  readonly data: JobFinished;
}

const requestSchema = z.object({ reply: jobReplySchema });

/**
 * The one terminal event of a job, made again from what is kept of it.
 * @returns null for a row that does not tell such an event.
 */
export function toldEnd(job: EndedJob): ToldEvent | null {
  const outcome = outcomeSchema.safeParse(readJson(job.outcomeJson) ?? {});
  const answer = answerSchema.safeParse(readJson(job.answerJson) ?? {});
  const reply = replyOf(job);
  if (!outcome.success || !answer.success || reply === null) return null;
  const data = jobFinishedSchema.safeParse({
    tenant: job.tenant,
    job_id: job.id,
    type: job.type,
    status: job.status,
    session_id: job.sessionId ?? undefined,
    ...outcome.data,
    ...answer.data,
    ...reply,
    finished_at: job.finishedAt.toISOString(),
  });
  if (!data.success) return null;
  return { route: routeOf(data.data), source: sourceOf(job), data: data.data };
}

type Told = Pick<JobReply, 'callback' | 'metadata' | 'redrive_of' | 'created_at'>;

/** What the runner copied from the request; an end that was the first event has it itself. */
function replyOf(job: EndedJob): Told | null {
  const first = readJson(job.firstEventJson);
  const parsed = job.refused
    ? jobFinishedSchema.safeParse(first)
    : requestSchema.transform(({ reply }) => reply).safeParse(first);
  if (!parsed.success) return null;
  const { callback, metadata, redrive_of, created_at } = parsed.data;
  return { callback, metadata, redrive_of, created_at };
}

function routeOf({ tenant, job_id, status }: JobFinished): EventRoute {
  return {
    topic: topics.jobsFinished,
    type: `millrace.job.${status}.v1`,
    id: `${tenant}:${job_id}:finished`,
    key: job_id,
  };
}

/** Together with the id it says which event it is, so it is that of who told it first. */
function sourceOf({ refused, type, unreleased }: EndedJob): ServiceName {
  if (refused || unreleased) return 'ingest';
  return type === 'message' ? 'claude-worker' : 'agent-orchestrator';
}

function readJson(json: string | null): unknown {
  if (json === null) return null;
  try {
    const parsed: unknown = JSON.parse(json);
    return parsed;
  } catch {
    return undefined;
  }
}
