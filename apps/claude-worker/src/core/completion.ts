import {
  assertNever,
  type ClaudeCompleted,
  claudeCompletedSchema,
  type JobFinished,
  jobFinishedSchema,
  topics,
} from '@millrace/contracts';

import { type CallRequest, jobIdOf } from './call.ts';
import { claudeCompleted } from './claude-completed.ts';
import { type CallEnd, jobFinished } from './job-finished.ts';

/** What the end of a call tells: the world how a job ended, or a workflow how its call did. */
export type Completion =
  | {
      readonly kind: 'job';
      readonly type: `millrace.job.${JobFinished['status']}.v1`;
      readonly data: JobFinished;
    }
  | {
      readonly kind: 'workflow';
      readonly type: 'millrace.claude.completed.v1';
      readonly data: ClaudeCompleted;
    };

/** `kept`: the call's turn is in its conversation. */
export function completionOf(end: CallEnd & { readonly kept: boolean }): Completion {
  const { reply } = end.call;
  switch (reply.kind) {
    case 'job': {
      const data = jobFinished(end, reply);
      return { kind: 'job', type: `millrace.job.${data.status}.v1`, data };
    }
    case 'workflow': {
      const data = claudeCompleted(end, reply);
      return { kind: 'workflow', type: 'millrace.claude.completed.v1', data };
    }
    default:
      return assertNever(reply);
  }
}

/** Says whether those who are told would understand. */
export function fitsContract({ kind, data }: Completion): boolean {
  const schema = kind === 'job' ? jobFinishedSchema : claudeCompletedSchema;
  return schema.safeParse(data).success;
}

export type CallAddress = Pick<CallRequest, 'tenant' | 'callId' | 'reply'>;

/** Where the end of a call is told, and as which event: the same however often it is. */
export function completionAddress(call: CallAddress) {
  const { callId, reply, tenant } = call;
  const subject = jobIdOf(call);
  switch (reply.kind) {
    case 'job': {
      const id = `${tenant}:${callId}:finished`;
      return { topic: topics.jobsFinished, id, key: callId, subject } as const;
    }
    case 'workflow': {
      const id = `${tenant}:${callId}:completed`;
      const key = `${tenant}/${reply.workflow_id}`;
      return { topic: topics.claudeCompleted, id, key, subject } as const;
    }
    default:
      return assertNever(reply);
  }
}
