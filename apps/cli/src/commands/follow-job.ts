import { isTerminal, jobStatusSchema, jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, type CommandContext } from '../command.ts';
import type { StreamEvent } from '../core/event-blocks.ts';
import { jobText } from '../core/job-text.ts';
import { printable } from '../core/table.ts';

/** What its events say that a person reads; the rest is for machines. */
const dataSchema = z.object({
  text: z.string().optional(),
  turn: z.number().optional(),
  attempt: z.number().optional(),
  kind: z.string().optional(),
});

export const followJob = defineCommand({
  name: 'jobs follow',
  summary: 'Show the text of a job as it is written, to its end; a broken connection goes on',
  example: 'millrace jobs follow order-1',
  operands: ['id'],
  options: z.object({}),
  run: async (context, { operands: [id = ''] }) => {
    const { api } = context;
    let shown = '';
    for await (const told of api.events(pathOf('v1', 'jobs', id, 'events'))) {
      const status = jobStatusSchema.safeParse(told.event.replace(/^job\./, ''));
      if (status.success && isTerminal(status.data)) break;
      const text = show(told, { ...context, note: (line) => context.note(lineAfter(shown, line)) });
      shown = textBegins.has(told.event) ? text : shown + text;
    }
    const path = pathOf('v1', 'jobs', id);
    const job = await api.ask({ method: 'GET', path, answer: jobViewSchema });
    // Who has just read the answer on the same screen does not need it again.
    const isSeen = context.isOneScreen && shown === job.result;
    return { json: job, text: `\n${jobText(isSeen ? { ...job, result: undefined } : job)}` };
  },
});

/** A line of its own, also behind a text that is still being written. */
function lineAfter(text: string, line: string): string {
  return text === '' || text.endsWith('\n') ? line : `\n${line}`;
}

/** Events after which the text is another one. */
const textBegins = new Set(['snapshot', 'stream.restarted', 'turn.started']);

/**
 * The text goes where notes go, so that the answer stays clean.
 * @returns the piece of the text that it had.
 */
function show({ data, event }: StreamEvent, { note, write }: CommandContext): string {
  const read = dataSchema.safeParse(JSON.parse(data));
  const { attempt, kind, text, turn } = read.success ? read.data : {};
  if (text !== undefined) {
    write(printable(text));
    return text;
  }
  if (event === 'stream.restarted') note(`-- attempt ${attempt}: it begins again`);
  else if (event === 'turn.started') note(`-- turn ${turn}`);
  else if (event === 'step') note(`-- ${kind}`);
  else if (event.startsWith('job.')) note(`-- ${event.slice('job.'.length)}`);
  return '';
}
