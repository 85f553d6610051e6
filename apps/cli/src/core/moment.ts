import { momentSchema } from '@millrace/contracts';
import { z } from 'zod';

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A moment as people type it: how long ago, or RFC 3339. */
export type Moment =
  | { readonly kind: 'ago'; readonly ms: number }
  | { readonly kind: 'at'; readonly text: string };

/** Reads `90s`, `30m`, `2h`, `3d`, or a time as RFC 3339 has it. */
export const typedMomentSchema = z.string().transform((typed, context): Moment => {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(typed) ?? [];
  if (unit === 's' || unit === 'm' || unit === 'h' || unit === 'd') {
    return { kind: 'ago', ms: Number(count) * unitsMs[unit] };
  }
  if (momentSchema.safeParse(typed).success) return { kind: 'at', text: typed };
  const message = 'must be a time like 2h, 3d or 2030-01-02T03:04:05Z';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** The moment as the API takes it. */
export function instantOf(moment: Moment, now: Date): string {
  return moment.kind === 'at' ? moment.text : new Date(now.getTime() - moment.ms).toISOString();
}
