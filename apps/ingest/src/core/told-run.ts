import { jobStepSchema, type JobFinished } from '@millrace/contracts';
import { z } from 'zod';

import { entriesOf, type LiveRun, type RunEntry } from './live-run.ts';

const count = z.int().nonnegative();
const entriesSchema = z.array(
  z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('text'),
      live: z.object({ turn: count, attempt: count, text: z.string() }),
    }),
    z.object({ kind: z.literal('step'), offset: count, step: jobStepSchema }),
  ]),
);

/**
 * Whether what was told of a job has to be kept for those who come after its end: a message that
 * succeeded has its text in its row, and no other end has.
 */
export function isTextOutsideRow(end: Pick<JobFinished, 'type' | 'status'>): boolean {
  return end.type !== 'message' || end.status !== 'succeeded';
}

/** A run as it is kept; null when nothing of it is worth a row. */
export function toldRunJson(run: LiveRun | undefined): string | null {
  const entries = run === undefined ? [] : entriesOf(run);
  const saysAnything = entries.some((each) => each.kind === 'step' || each.live.text !== '');
  return saysAnything ? JSON.stringify(entries) : null;
}

/** @throws when it is not what `toldRunJson` wrote. */
export function parseToldRun(json: string): readonly RunEntry[] {
  return entriesSchema.parse(JSON.parse(json));
}
