import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, type Command } from '../command.ts';

interface OneThing {
  /** The words that call it: `tools get`. */
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  /** Beneath `/v1`: `tools`. */
  readonly collection: string;
}

export interface ShownThing<Thing> extends OneThing {
  /** What it is named by; its id when nothing is said. */
  readonly operand?: string;
  /** What of it is shown: `timeline`. Absent: itself. */
  readonly part?: string;
  readonly answer: z.ZodType<Thing>;
  readonly text: (thing: Thing) => string;
}

/** A command that shows one thing, and takes nothing but its name. */
export function defineShown<Thing>(shown: ShownThing<Thing>): Command {
  const { answer, collection, example, name, operand = 'id', part, summary, text } = shown;
  return defineCommand({
    name,
    summary,
    example,
    operands: [operand],
    options: z.object({}),
    run: async ({ api }, { operands: [id = ''] }) => {
      const path = pathOf('v1', collection, id, ...(part === undefined ? [] : [part]));
      const thing = await api.ask({ method: 'GET', path, answer });
      return { json: thing, text: text(thing) };
    },
  });
}

/** A command that takes one thing away. */
export function defineDeleted({ collection, ...explained }: OneThing): Command {
  return defineCommand({
    ...explained,
    operands: ['id'],
    options: z.object({}),
    run: async ({ api }, { operands: [id = ''] }) => {
      const path = pathOf('v1', collection, id);
      await api.ask({ method: 'DELETE', path, answer: z.undefined() });
      return { json: { deleted: id }, text: `${id} is gone` };
    },
  });
}
