import { callIdSchema } from '@millrace/contracts';
import type { CallId } from '@millrace/contracts';

import { argumentsBytesMax, finalAnswerAsksMax, usesPerAnswerMax } from './agent-limits.ts';
import type { Agent, ToolUse, UseProgress } from './agent-state.ts';
import { count, fail, succeed, tell, update } from './agent-step.ts';
import type { AgentStep } from './agent-step.ts';
import { askApproval, needsApproval } from './approvals.ts';
import { finalAnswer, offeredTools, waitForSignal } from './built-in-tools.ts';
import { isRecord, jsonBytes } from './canonical-json.ts';
import { replayedResult } from './forks.ts';
import { schemaErrors } from './schema-check.ts';
import { awaitSignal } from './signals.ts';
import { errorResult } from './tool-results.ts';
import type { UseResult } from './tool-results.ts';
import { noteEnd, settleUse } from './use-results.ts';

/** A `tool_use` block of an answer. */
export interface AskedUse {
  readonly useId: string;
  readonly name: string;
  readonly input: unknown;
}

interface Answered {
  readonly message: Readonly<Record<string, unknown>>;
  readonly model: string | undefined;
}

/**
 * Takes what an answer asks for. A final answer that fits its schema ends the run, whatever else
 * was asked for beside it; nothing of that has begun.
 */
export function takeUses(step: AgentStep, asked: readonly AskedUse[], answered: Answered): void {
  const final = asked.filter(({ name }) => isFinal(step.run.agent, name));
  const fit = final.find(({ name, input }) => argumentErrors(step.run.agent, name, input) === null);
  if (fit) {
    succeed(step, { result: JSON.stringify(fit.input), ...answered });
    return;
  }
  if (final.length > 0) countBadFinalAnswer(step, answered);
  if (step.ended) return;
  const before = step.run.counts.uses;
  count(step, { uses: before + asked.length });
  const bytes = asked.map(({ input }) => jsonBytes(input));
  const uses = asked.map((use, at) => {
    const callId = callIdSchema.parse(`${step.id}/t${before + at + 1}`);
    return beginUse(step, use, { callId, beyond: beyondLimits(bytes, at) });
  });
  update(step, { uses });
  // As it was when the model asked: what comes in meanwhile it has not read.
  const { tainted } = step.run;
  for (const use of step.run.uses) open(step, use, tainted);
}

function beginUse(
  step: AgentStep,
  { input, name, useId }: AskedUse,
  o: { readonly callId: CallId; readonly beyond: UseResult | null },
): ToolUse {
  const use = { useId, name, callId: o.callId };
  const begins = o.beyond ?? judged(step, { input, name, useId });
  if ('at' in begins) return { ...use, progress: begins };
  const { content, isError } = begins;
  const refused: ToolUse = { ...use, progress: { at: 'done', content, isError } };
  // What is too much is not kept a second time.
  noteEnd(step, refused, o.beyond === null ? { ...begins, input } : begins);
  return refused;
}

/** Null: the call is within what one answer may ask for. */
function beyondLimits(bytes: readonly number[], at: number): UseResult | null {
  if (at >= usesPerAnswerMax) return tooMany;
  const upToIt = bytes.slice(0, at + 1).reduce((sum, one) => sum + one, 0);
  return upToIt > argumentsBytesMax ? tooLong : null;
}

const tooMany = errorResult('limit_reached', `at most ${usesPerAnswerMax} tools in one answer`);
const tooLong = errorResult(
  'invalid_arguments',
  `the arguments of one answer may have ${argumentsBytesMax} bytes`,
);

function countBadFinalAnswer(step: AgentStep, { message }: Answered): void {
  const finalAnswerAsks = step.run.counts.finalAnswerAsks + 1;
  count(step, { finalAnswerAsks });
  if (finalAnswerAsks <= finalAnswerAsksMax) return;
  const detail = `${finalAnswerAsks} final answers did not fit the schema`;
  fail(step, 'invalid_output', { detail, message });
}

/** What is wrong with a call is told at once; nothing runs for it. */
function judged({ run }: AgentStep, asked: AskedUse): UseProgress | UseResult {
  if (!offeredTools(run.agent).some(({ name }) => name === asked.name)) {
    return errorResult('unknown_tool', 'there is no tool of this name');
  }
  const wrong = argumentErrors(run.agent, asked.name, asked.input);
  if (wrong === null && isRecord(asked.input)) return { at: 'queued', arguments: asked.input };
  const code = isFinal(run.agent, asked.name) ? 'invalid_output' : 'invalid_arguments';
  return errorResult(code, wrong ?? 'the arguments are no object');
}

/** The first thing that becomes of a call whose arguments fit. */
function open(step: AgentStep, use: ToolUse, tainted: boolean): void {
  if (use.progress.at !== 'queued') return;
  const { arguments: given } = use.progress;
  const { agent } = step.run;
  if (use.name === waitForSignal) {
    awaitSignal(step, use, String(given['name']));
    return;
  }
  tell(step, { kind: 'tool_call', call_id: use.callId, tool: use.name, arguments: given });
  const tool = agent.tools.find(({ name }) => name === use.name);
  const replayed = replayedResult(step.run, { name: use.name, tool, arguments: given });
  if (replayed) settleUse(step, use, { ...replayed, tainted: true });
  else if (tool && needsApproval(tool, tainted)) askApproval(step, use, { tool, arguments: given });
}

/** What is wrong with the arguments of a tool that there is; null when they fit. */
function argumentErrors(agent: Agent, tool: string, input: unknown): string | null {
  const schema = offeredTools(agent).find(({ name }) => name === tool)?.input_schema;
  const errors = schema ? schemaErrors(schema, input) : [];
  return errors.length > 0 ? errors.join('; ') : null;
}

function isFinal(agent: Agent, name: string): boolean {
  return name === finalAnswer && agent.outputSchema !== undefined;
}
