import { createHash } from 'node:crypto';

import { inlineBodyBytesMax } from '@millrace/contracts';

import type { JournalEntry, StoredCommand } from './journal-entry.ts';
import type { Command } from './workflow.ts';

/** A body that goes to `blobs`. Its id is its content's: the same body has one place. */
export interface LargeBody {
  readonly id: string;
  readonly bytes: Buffer;
}

export interface Lightened {
  readonly commands: readonly StoredCommand[];
  readonly bodies: readonly LargeBody[];
}

/** Replaces what is too large to travel inside an event by a reference. */
export function lighten(commands: readonly (Command | StoredCommand)[]): Lightened {
  const bodies: LargeBody[] = [];
  const lightened = commands.map((command) => lightenOne(command, bodies));
  return { commands: lightened, bodies };
}

/** Whether an entry may hold such a body at all: most are short, and nothing is measured twice. */
export function mayBeLarge(commandsJson: string): boolean {
  return Buffer.byteLength(commandsJson) > inlineBodyBytesMax;
}

function lightenOne(command: Command | StoredCommand, bodies: LargeBody[]): StoredCommand {
  switch (command.kind) {
    case 'call_claude': {
      const { params, ...rest } = command;
      const paramsRef = placed(params, bodies);
      return paramsRef === undefined ? command : { ...rest, paramsRef };
    }
    case 'start_child': {
      const { params, ...rest } = command.request;
      const paramsRef = placed(params, bodies);
      if (paramsRef === undefined) return command;
      return { kind: 'start_child', request: { ...rest, params_ref: paramsRef } };
    }
    case 'finish': {
      const { message, ...rest } = command.end;
      const messageRef = placed(message, bodies);
      if (messageRef === undefined) return command;
      return { kind: 'finish', end: { ...shortened(rest), messageRef } };
    }
    default:
      return command;
  }
}

/** Without a result that is too large as well: it comes out of the message. */
function shortened<End extends { readonly result?: string }>(end: End): End {
  if (Buffer.byteLength(end.result ?? '') <= inlineBodyBytesMax) return end;
  const { result: _, ...rest } = end;
  return { ...end, ...rest, result: undefined };
}

/** @returns the reference, or undefined when the body may stay where it is. */
function placed(body: object | undefined, bodies: LargeBody[]): string | undefined {
  if (body === undefined) return undefined;
  const bytes = Buffer.from(JSON.stringify(body));
  if (bytes.length <= inlineBodyBytesMax) return undefined;
  const id = `blob_wf.${createHash('sha256').update(bytes).digest('hex')}`;
  bodies.push({ id, bytes });
  return id;
}

/** An entry with lighter commands. */
export function withCommands(
  entry: JournalEntry,
  commands: readonly StoredCommand[],
): JournalEntry {
  return { ...entry, commands };
}
