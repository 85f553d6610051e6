import type { ClaudeDelta, JobFinished } from '@millrace/contracts';

/**
 * The text of a job's current attempt as the deltas tell it.
 *
 * I1: `text` is the attempt's text from its beginning, or `isWhole` is false and nothing is shown.
 * I2: attempts only go forward; a late delta of an earlier one changes nothing.
 * I3: a delta that was delivered twice adds nothing.
 */
export interface LiveText {
  readonly turn: number;
  readonly attempt: number;
  readonly text: string;
  readonly isWhole: boolean;
}

/** What a listener is told. `end` is the offset after the text, within the attempt's text. */
export type LiveChange =
  | { readonly kind: 'restarted'; readonly turn: number; readonly attempt: number }
  | {
      readonly kind: 'added';
      readonly turn: number;
      readonly attempt: number;
      readonly text: string;
      readonly end: number;
    };

export interface LiveStep {
  readonly live: LiveText;
  readonly changes: readonly LiveChange[];
}

/** Takes one delta in. `live` is undefined for a job that nothing is known of. */
export function addDelta(live: LiveText | undefined, delta: ClaudeDelta): LiveStep {
  const { turn, attempt } = delta;
  if (live === undefined) {
    return append({ turn, attempt, text: '', isWhole: true }, { delta, changes: [] });
  }
  const order = turn - live.turn || attempt - live.attempt;
  if (order < 0) return { live, changes: [] };
  if (order === 0) return append(live, { delta, changes: [] });
  const changes = [{ kind: 'restarted', turn, attempt }] as const;
  return append({ turn, attempt, text: '', isWhole: true }, { delta, changes });
}

/**
 * What the terminal event still adds to the text that was shown: deltas and results travel by
 * different topics, and the result may come first.
 */
export function addResult(live: LiveText | undefined, finished: JobFinished): LiveStep {
  const last = finished.attempts.at(-1)?.number ?? live?.attempt ?? 1;
  const text = finished.result;
  const shown = live ?? { turn: 1, attempt: last, text: '', isWhole: true };
  if (text === undefined) return { live: shown, changes: [] };
  const delta = { ...finished, turn: shown.turn, attempt: last, start: 0, text };
  // Pieces went missing, but the result is whole: what follows the text known so far is new.
  return addDelta({ ...shown, isWhole: true }, delta);
}

function append(
  live: LiveText,
  o: { readonly delta: ClaudeDelta; readonly changes: readonly LiveChange[] },
): LiveStep {
  const { delta, changes } = o;
  const { turn, attempt } = live;
  const known = live.text.length;
  if (!live.isWhole || delta.start > known) {
    return { live: { ...live, isWhole: false }, changes };
  }
  const text = delta.text.slice(known - delta.start);
  if (text === '') return { live, changes };
  const end = known + text.length;
  const added: LiveChange = { kind: 'added', turn, attempt, text, end };
  return { live: { ...live, text: live.text + text }, changes: [...changes, added] };
}
