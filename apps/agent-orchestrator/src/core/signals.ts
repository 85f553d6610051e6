import { signalsKeptMax, untrustedData } from '@millrace/contracts';
import type { WorkflowSignalled } from '@millrace/contracts';

import { signalIdsKept, signalsBytesMax } from './agent-limits.ts';
import type { KeptSignal, ToolUse } from './agent-state.ts';
import { moveUse, note, tell, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { jsonBytes } from './canonical-json.ts';
import { textOf } from './tool-results.ts';
import { settleUse } from './use-results.ts';

/** The model waits for a signal: one that came before is there at once, the oldest first. */
export function awaitSignal(step: AgentStep, use: ToolUse, name: string): void {
  const kept = step.run.signals.find((signal) => signal.name === name);
  if (!kept) {
    moveUse(step, use, { at: 'signal', name });
    note(step, { kind: 'tool_call', id: use.callId, name: use.name, input: { name } });
    tell(step, { kind: 'awaiting_signal', name });
    return;
  }
  update(step, { signals: step.run.signals.filter((signal) => signal !== kept) });
  settleSignal(step, use, kept);
}

/** A signal from outside: for the first that waits for it, and else kept until one does. */
export function takeSignal(step: AgentStep, data: WorkflowSignalled): Refusal {
  const { run } = step;
  if (!run.agent.signals.includes(data.name)) return 'the agent waits for no signal of this name';
  // An id is unique among the signals of its name.
  const id = `${data.name}:${data.signal_id}`;
  if (run.signalIds.includes(id)) return 'the signal has come before';
  const signal = { name: data.name, signalId: data.signal_id, data: data.data ?? null };
  const waits = ({ progress }: ToolUse) =>
    progress.at === 'signal' && progress.name === data.name;
  const use = run.uses.find(waits);
  if (!use && isFull(run.signals, signal)) return 'as many signals are kept as may be';
  const signalIds = [...run.signalIds, id].slice(-signalIdsKept);
  update(step, { signalIds });
  if (use) settleSignal(step, use, signal);
  else update(step, { signals: [...run.signals, signal] });
  return null;
}

function settleSignal(step: AgentStep, use: ToolUse, { name, data }: KeptSignal): void {
  tell(step, { kind: 'signal', name });
  settleUse(step, use, { content: untrustedData(textOf(data)), isError: false, tainted: true });
}

function isFull(kept: readonly KeptSignal[], signal: KeptSignal): boolean {
  return kept.length >= signalsKeptMax || jsonBytes([...kept, signal]) > signalsBytesMax;
}
