import { resultsBytesMax } from './agent-limits.ts';
import type { ToolUse } from './agent-state.ts';
import { moveUse, note, tell, update } from './agent-step.ts';
import type { AgentStep } from './agent-step.ts';
import { errorResult } from './tool-results.ts';
import type { UseResult } from './tool-results.ts';

/** A result, and where it comes from. */
export interface SettledUse extends UseResult {
  readonly tainted: boolean;
  /** The event that brings it says all of it, so that a timeline shows it by that. */
  readonly isTold?: boolean;
}

/** Notes the result of one call. Results of others taint the conversation that they enter. */
export function settleUse(step: AgentStep, use: ToolUse, o: SettledUse): void {
  const taken = bytesOfResults(step.run.uses) + Buffer.byteLength(o.content);
  const result: SettledUse = taken > resultsBytesMax ? { ...noRoom, tainted: o.tainted } : o;
  const { content, isError } = result;
  if (result.isTold !== true) noteEnd(step, use, result);
  moveUse(step, use, { at: 'done', content, isError });
  if (o.tainted) update(step, { tainted: true });
  tell(step, { kind: 'tool_result', call_id: use.callId, tool: use.name, is_error: isError });
}

/** All results of an answer go back in one message, in the order in which they were asked for. */
export function joinResults(step: AgentStep): void {
  const { uses } = step.run;
  if (step.ended || uses.length === 0) return;
  const content = uses.flatMap(({ useId, progress }) =>
    progress.at === 'done' ? [toolResult(useId, progress)] : [],
  );
  if (content.length < uses.length) return;
  update(step, { uses: [], due: { messages: [{ role: 'user', content }] } });
}

/** Shows how a call ended of which no event says it; one that never began has its input, too. */
export function noteEnd(step: AgentStep, use: ToolUse, o: UseResult & { input?: unknown }): void {
  const { callId, name, progress } = use;
  const { input = 'arguments' in progress ? progress.arguments : undefined } = o;
  const how = o.error === undefined ? { output: o.content } : { error: o.error };
  note(step, {
    ...(progress.at === 'child'
      ? { kind: 'child', id: progress.childId }
      : { kind: 'tool_call', id: callId }),
    name,
    ...(input === undefined ? {} : { input }),
    end: { ...how, isError: o.isError },
  });
}

const noRoom = errorResult(
  'result_too_large',
  `the results of one answer may have ${resultsBytesMax} bytes together`,
);

function toolResult(useId: string, { content, isError }: UseResult) {
  const error = isError ? { is_error: true } : {};
  return { type: 'tool_result', tool_use_id: useId, content, ...error };
}

function bytesOfResults(uses: readonly ToolUse[]): number {
  return uses.reduce(
    (sum, { progress }) => sum + (progress.at === 'done' ? Buffer.byteLength(progress.content) : 0),
    0,
  );
}
