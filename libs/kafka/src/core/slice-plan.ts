import type { Topic } from '@millrace/contracts';

import type { BadRecord } from './decode.ts';

export type ReadResult<Good, Raw> =
  | { readonly kind: 'good'; readonly record: Good }
  | { readonly kind: 'bad'; readonly record: Raw; readonly bad: BadRecord };

export interface SlicePlan<Good, Raw> {
  readonly good: readonly Good[];
  readonly dead: readonly { readonly record: Raw; readonly bad: BadRecord }[];
  /** The first record that can neither be handled nor be put aside; later ones wait behind it. */
  readonly parkAt: { readonly record: Raw; readonly bad: BadRecord } | undefined;
}

/** Sorts what was read: to the step, to the dead letters, or the place where to stop. */
export function planSlice<Good, Raw>(
  topic: Pick<Topic, 'direction' | 'deadLetters'>,
  reads: readonly ReadResult<Good, Raw>[],
): SlicePlan<Good, Raw> {
  const good: Good[] = [];
  const dead: { record: Raw; bad: BadRecord }[] = [];
  for (const read of reads) {
    if (read.kind === 'good') good.push(read.record);
    else if (mayPutAside(topic, read.bad)) dead.push({ record: read.record, bad: read.bad });
    else return { good, dead, parkAt: { record: read.record, bad: read.bad } };
  }
  return { good, dead, parkAt: undefined };
}

/**
 * An unknown type on an internal topic was written by a newer release of ours: it is good work,
 * and waits for a consumer that knows it. Everything else that is bad will stay bad.
 */
function mayPutAside(topic: Pick<Topic, 'direction' | 'deadLetters'>, bad: BadRecord): boolean {
  if (!topic.deadLetters) return false;
  return topic.direction !== 'internal' || bad.code !== 'unknown_type';
}
