import {
  forkPromptLengthMax,
  workflowRequestedSchema,
  type ForkSubmission,
  type JobId,
  type JobSubmission,
  type Lane,
  type SessionId,
  type WorkflowAnswer,
  type WorkflowRequested,
} from '@millrace/contracts';

import { isRecord } from './canonical-json.ts';
import {
  hashOf,
  judgeSubmission,
  type IntakeRules,
  type Judgement,
} from './judge-submission.ts';
import { ProblemError } from './problem.ts';

/** The run that is to be forked, as its row and its request tell it. */
export interface ForkSource {
  readonly id: JobId;
  readonly lane: Lane;
  readonly sessionId: SessionId | null;
  readonly createdAt: string;
  readonly request: WorkflowRequested;
  /** Complete, as they were asked for. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** The request that an agent's row published. */
export function requestOfRow(firstEventJson: string): WorkflowRequested {
  return workflowRequestedSchema.parse(JSON.parse(firstEventJson));
}

/**
 * Whether a run has the step at which the fork is to part from it.
 * @throws ProblemError when it has not.
 */
export function assertHasStep(workflow: WorkflowAnswer, { from_step }: ForkSubmission): void {
  if (from_step <= workflow.version) return;
  const message = `is not one of the ${workflow.version} steps of the run`;
  const errors = [{ path: 'from_step', message }];
  throw new ProblemError('invalid_request', `from_step ${message}`, errors);
}

/** The job that a fork is: its source's parameters with what is to be otherwise. */
export function forkOrder(
  source: ForkSource,
  fork: ForkSubmission,
  rules: IntakeRules,
): Judgement {
  const { prompt, from_step } = fork;
  const said = from_step === 0 ? undefined : prompt;
  if (said !== undefined && said.length > forkPromptLengthMax) {
    const message = `has more than ${forkPromptLengthMax} characters`;
    const errors = [{ path: 'prompt', message }];
    const refusal = { code: 'invalid_request', detail: `prompt ${message}`, errors } as const;
    return { ok: false, refusal };
  }
  const judged = judgeSubmission(submissionOf(source, fork), rules);
  if (!judged.ok) return judged;
  const { job_id: _id, ...asked } = fork;
  const order = {
    ...judged.order,
    tainted: judged.order.tainted || source.request.tainted === true,
    requestHash: hashOf({ fork_of: source.id, ...asked }),
    fork: {
      workflow_id: source.id,
      created_at: source.createdAt,
      from_step,
      allow_side_effects: fork.allow_side_effects,
      ...(said === undefined ? {} : { prompt: said }),
    },
  };
  return { ok: true, order };
}

/** Its receiver is not told again: a fork has none. */
function submissionOf(source: ForkSource, fork: ForkSubmission): JobSubmission {
  const { from_step, model, system, tools } = fork;
  // From a later step on the run says it itself, after what was said until then.
  const prompt = from_step === 0 ? fork.prompt : undefined;
  const params = {
    ...source.params,
    ...(model === undefined ? {} : { model }),
    ...(system === undefined ? {} : { system }),
    ...(tools === undefined ? {} : { tools }),
    ...(prompt === undefined ? {} : { messages: withPrompt(source.params['messages'], prompt) }),
    stream: source.request.stream ?? false,
  };
  return {
    type: 'agent',
    params,
    lane: source.lane,
    session_id: source.sessionId ?? undefined,
    metadata: source.request.reply.kind === 'job' ? source.request.reply.metadata : undefined,
    budget: fork.budget ?? source.request.budget,
  };
}

/** The messages with another text in place of the first, which is the user's. */
function withPrompt(messages: unknown, prompt: string): unknown[] {
  const given: readonly unknown[] = Array.isArray(messages) ? messages : [];
  const first = given[0];
  return [{ ...(isRecord(first) ? first : {}), content: prompt }, ...given.slice(1)];
}
