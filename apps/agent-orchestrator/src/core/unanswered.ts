import type { Answer, StoredCommand } from './journal-entry.ts';

/** Of what a version asked for, that which still waits for its answer. */
export function unanswered(answer: Answer, ids: ReadonlySet<string>): Answer {
  const { atMs, commands, version } = answer;
  const waits = (command: StoredCommand) => {
    const id = askedId(command);
    return id !== null && ids.has(id);
  };
  return { version, atMs, commands: commands.filter(waits) };
}

/** What an answer to a command names; null: nobody answers it. */
function askedId(command: StoredCommand): string | null {
  switch (command.kind) {
    case 'call_claude':
      return command.callId;
    case 'start_child':
      return command.request.job_id;
    default:
      return null;
  }
}
