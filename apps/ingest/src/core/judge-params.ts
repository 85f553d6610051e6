import {
  agentParamsSchema,
  assertNever,
  documentParamsSchema,
  ownToolNames,
  type AgentParams,
  type ErrorCode,
  type JobSubmission,
} from '@millrace/contracts';

import { describeErrors, fieldErrors, type FieldError } from './field-error.ts';
import type { IntakeRules, Refusal } from './judge-submission.ts';
import { maxTokensDefault, modelErrors, prefixed, preflight } from './preflight.ts';

/** What a job's parameters come to: complete, or why nobody could run them. */
export type JudgedParams =
  | {
      readonly ok: true;
      readonly params: Readonly<Record<string, unknown>>;
      readonly model: string;
      readonly stream: boolean;
      /** What others wrote is among them. */
      readonly tainted: boolean;
    }
  | { readonly ok: false; readonly refusal: Refusal };

/** Judges the parameters by the rules of the job's type, and fills in what has a default. */
export function judgeParams(submission: JobSubmission, rules: IntakeRules): JudgedParams {
  const given = submission.params ?? paramsOfPrompt(submission.prompt ?? '');
  switch (submission.type) {
    case 'message':
      return judgeMessage(given, rules);
    case 'agent':
      return judgeAgent(given, rules);
    case 'document':
      if (submission.params !== undefined) return judgeDocument(submission.params, rules);
      return refused('invalid_request', [
        { path: 'prompt', message: 'is no document: give params with document and prompt' },
      ]);
    default:
      return assertNever(submission.type);
  }
}

type Given = Readonly<Record<string, unknown>>;

function paramsOfPrompt(prompt: string): Given {
  return { messages: [{ role: 'user', content: prompt }] };
}

function judgeMessage(given: Given, rules: IntakeRules): JudgedParams {
  const checked = preflight(given, rules);
  return checked.ok ? { ...checked, tainted: false } : refusedByModel(checked.errors);
}

/** An agent's parameters are a message's, and what it may use. */
function judgeAgent(given: Given, rules: IntakeRules): JudgedParams {
  const checked = preflight(given, rules);
  if (!checked.ok) return refusedByModel(checked.errors);
  const parsed = agentParamsSchema.safeParse(checked.params);
  const errors = parsed.success ? namesErrors(parsed.data) : fieldErrors(parsed.error);
  if (errors.length > 0) return refused('invalid_request', prefixed(errors));
  return { ...checked, tainted: checked.params['untrusted'] === true };
}

function judgeDocument(given: Given, rules: IntakeRules): JudgedParams {
  const parsed = documentParamsSchema.safeParse(given);
  if (!parsed.success) return refused('invalid_request', prefixed(fieldErrors(parsed.error)));
  const { document, chunk_tokens, overlap_tokens } = parsed.data;
  const errors = modelErrors(parsed.data.model);
  if ('url' in document) {
    const verdict = rules.checkUrl(document.url);
    if (!verdict.ok) errors.push({ path: 'document.url', message: verdict.detail });
  }
  if (overlap_tokens >= chunk_tokens) {
    // Each part begins where the one before it ends, less the overlap: there would be no end.
    errors.push({ path: 'overlap_tokens', message: 'must be less than chunk_tokens' });
  }
  if (errors.length > 0) return refused('invalid_request', prefixed(errors));
  const model = parsed.data.model ?? rules.defaultModel;
  const max_tokens = parsed.data.max_tokens ?? maxTokensDefault;
  // How many of its parts are done is told to whoever follows it: that is next to nothing.
  return {
    ok: true,
    params: { ...parsed.data, model, max_tokens },
    model,
    stream: true,
    tainted: false,
  };
}

/** To a model, tools and sub-agents are names: two of one name could not be told apart. */
function namesErrors(params: AgentParams): FieldError[] {
  const agents = params.agents ?? [];
  return [
    ...modelErrors(params.model),
    ...doubledNames(params.tools ?? [], 'tools', new Set(ownToolNames)),
    ...doubledNames(
      agents.map(({ name }) => name),
      'agents',
      new Set([...ownToolNames, ...(params.tools ?? [])]),
    ),
    ...doubledNames(params.signals ?? [], 'signals', new Set()),
    ...agents.flatMap((agent, index) => [
      ...modelErrors(agent.model).map((error) => within(error, index)),
      ...doubledNames(agent.tools ?? [], 'tools', new Set(ownToolNames)).map((error) =>
        within(error, index),
      ),
    ]),
  ];
}

function within({ path, message }: FieldError, agent: number): FieldError {
  return { path: `agents.${agent}.${path}`, message };
}

function doubledNames(names: readonly string[], path: string, taken: Set<string>): FieldError[] {
  return names.flatMap((name, index) => {
    const isTaken = taken.has(name);
    taken.add(name);
    const message = ownToolNames.has(name) ? 'is a name of the run itself' : 'is there twice';
    return isTaken ? [{ path: `${path}.${index}`, message }] : [];
  });
}

function refusedByModel(errors: readonly FieldError[]): JudgedParams {
  const detail = 'the Messages API would answer these parameters with an error';
  return { ok: false, refusal: { code: 'refused_by_model', detail, errors } };
}

function refused(code: ErrorCode, errors: readonly FieldError[]): JudgedParams {
  return { ok: false, refusal: { code, detail: describeErrors(errors), errors } };
}
