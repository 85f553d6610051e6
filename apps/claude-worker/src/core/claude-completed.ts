import { assertNever, type ClaudeCompleted, type WorkflowReply } from '@millrace/contracts';

import { modelOf, usageOf } from './claude-message.ts';
import { type CallEnd, type Ending, errorFields, messageOf, toldAttempts } from './job-finished.ts';

/**
 * What a workflow is told of the end of its call. `kept`: the turn is in the conversation, so that
 * the next one follows it.
 */
export function claudeCompleted(
  end: CallEnd & { readonly kept: boolean },
  reply: WorkflowReply,
): ClaudeCompleted {
  const { call, ending, finishedAtMs, kept } = end;
  return {
    tenant: call.tenant,
    workflow_id: reply.workflow_id,
    created_at: reply.created_at,
    call_id: call.callId,
    outcome: outcomeOf(ending),
    ...answerFields(end),
    kept,
    ...errorFields(ending),
    attempts: toldAttempts(end),
    ...(ending.attempt?.source.standIn === true ? { stand_in: true } : {}),
    finished_at: new Date(finishedAtMs).toISOString(),
  };
}

function outcomeOf(ending: Ending): ClaudeCompleted['outcome'] {
  switch (ending.kind) {
    case 'succeeded':
      return 'answered';
    case 'failed':
    case 'cancelled':
    case 'expired':
      return ending.kind;
    default:
      return assertNever(ending);
  }
}

type AnswerFields = Pick<ClaudeCompleted, 'model' | 'message' | 'message_ref' | 'usage'>;

/** What is no answer may have been paid for, and says so. */
function answerFields({ ending, messageRef }: CallEnd): AnswerFields {
  const message = messageOf(ending);
  if (message === null) return {};
  const model = modelOf(message);
  const usage = usageOf(message);
  const answer = messageRef === null ? { message } : { message_ref: messageRef };
  return {
    ...(model === undefined ? {} : { model }),
    ...(ending.kind === 'succeeded' ? answer : {}),
    ...(usage === undefined ? {} : { usage }),
  };
}
