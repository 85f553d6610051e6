import { fold, type HeldWorkflow } from './fold.ts';
import { recordedKey } from './forks.ts';
import type { JournalEntry, WorkflowHead } from './journal-entry.ts';
import type { Reducers } from './reducers.ts';
import type { ForkedRun, ToolOutcome } from './workflow.ts';

/** What a run is replayed with: its journal, with the bodies that its events refer to. */
export interface Recording {
  readonly head: WorkflowHead;
  /** Oldest first. */
  readonly entries: readonly JournalEntry[];
  readonly reducers: Reducers;
}

/** What decided entries that do not say by what. */
const firstSchemaVersion = 1;

/**
 * The workflow as its journal led to it: each entry is decided by the version that decided it then,
 * and migrated where it was. Null when one of them is not here any more.
 */
export function replay({ entries, head, reducers }: Recording): HeldWorkflow | null {
  let held: HeldWorkflow | null = null;
  for (const { atMs, event, schemaVersion = firstSchemaVersion } of entries) {
    const events = [{ event, stored: event, head, unparks: false }];
    const then = reducers.filter((reducer) => reducer.schemaVersion === schemaVersion);
    const folded = fold({ held, known: new Set(), events, nowMs: atMs, reducers: then });
    if (folded.outcomes[0]?.kind !== 'applied') return null;
    held = folded.next;
  }
  return held;
}

/** What a fork takes over of a run: its state after a step, and what was said until then. */
export function forkedRun(recording: Recording, fromStep: number): ForkedRun | null {
  const { entries } = recording;
  // A fork from step 0 begins anew, with the tools and the taint that the run began with.
  const taken = entries.filter(({ version }) => version <= Math.max(1, fromStep));
  const held = replay({ ...recording, entries: taken });
  if (held === null) return null;
  return {
    state: held.state,
    schemaVersion: held.schemaVersion,
    messages: fromStep === 0 ? [] : conversationOf(taken),
    recorded: recordedResults(entries, fromStep),
  };
}

/** Every message that was said, but for a last answer, which is to be given anew. */
export function conversationOf(entries: readonly JournalEntry[]): unknown[] {
  const said: unknown[] = [];
  /** On its way to the model. */
  let asked: readonly unknown[] = [];
  let isAnswered = false;
  for (const { commands, event } of entries) {
    // A turn that was not kept is asked again with its messages.
    if (event.type === 'call_completed' && event.data.kept) {
      said.push(...asked, { role: 'assistant', content: event.data.message?.['content'] });
      asked = [];
      isAnswered = true;
    }
    for (const command of commands) {
      if (command.kind !== 'call_claude' || command.seq === null) continue;
      asked = messagesOf(command.params);
      isAnswered = false;
    }
  }
  if (isAnswered) said.pop();
  return [...said, ...asked];
}

function messagesOf(params: Readonly<Record<string, unknown>> | undefined): readonly unknown[] {
  const messages = params?.['messages'];
  return Array.isArray(messages) ? messages : [];
}

/** Results of a run's tools: those of after the step come first, and the first one counts. */
function recordedResults(
  entries: readonly JournalEntry[],
  fromStep: number,
): Record<string, ToolOutcome> {
  const keys = new Map<string, string>();
  for (const { commands } of entries) {
    for (const command of commands) {
      if (command.kind !== 'run_tool') continue;
      keys.set(command.callId, recordedKey(command.tool, command.arguments));
    }
  }
  const isLater = ({ version }: JournalEntry) => version > fromStep;
  const inOrder = [...entries.filter(isLater), ...entries.filter((entry) => !isLater(entry))];
  const recorded: Record<string, ToolOutcome> = {};
  for (const { event } of inOrder) {
    if (event.type !== 'tool_completed') continue;
    const { call_id, error, output } = event.data;
    const key = keys.get(call_id);
    if (key === undefined || Object.hasOwn(recorded, key)) continue;
    recorded[key] = error === undefined ? { output } : { error };
  }
  return recorded;
}
