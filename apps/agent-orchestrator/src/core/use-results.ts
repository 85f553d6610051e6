import { resultsBytesMax } from './agent-limits.ts';
import type { ToolUse } from './agent-state.ts';
import { moveUse, tell, update } from './agent-step.ts';
import type { AgentStep } from './agent-step.ts';
import { errorResult } from './tool-results.ts';
import type { UseResult } from './tool-results.ts';

/** Notes the result of one call. Results of others taint the conversation that they enter. */
export function settleUse(
  step: AgentStep,
  use: ToolUse,
  o: UseResult & { readonly tainted: boolean },
): void {
  const taken = bytesOfResults(step.run.uses) + Buffer.byteLength(o.content);
  const { content, isError } = taken > resultsBytesMax ? noRoom : o;
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
