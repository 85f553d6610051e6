import type { ClaudeDelta } from '@millrace/contracts';

/** The part of a delta that its place and its text are. */
export type TextPiece = Pick<ClaudeDelta, 'turn' | 'attempt' | 'start' | 'text'>;

/**
 * The text of a job's current attempt as the deltas tell it.
 *
 * I1: `text` is the attempt's text from its beginning, as far as nothing of it is missing here.
 * I2: attempts only go forward; a late delta of an earlier one changes nothing.
 * I3: a delta that was delivered twice adds nothing.
 * I4: a delta after a gap is told as it is: a listener may have had elsewhere what is missing.
 */
export interface LiveText {
  readonly turn: number;
  readonly attempt: number;
  readonly text: string;
}

/**
 * What a listener is told. `end` is the offset after the text, within the attempt's text. With a
 * new attempt the turn's text begins again; with a new turn the text before it stays.
 */
export type LiveChange =
  | { readonly kind: 'restarted' | 'turn'; readonly turn: number; readonly attempt: number }
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

/** A place in a job's text: `end` is the offset within the text of that turn's attempt. */
export interface TextPlace {
  readonly turn: number;
  readonly attempt: number;
  readonly end: number;
}

export interface ShownStep {
  readonly place: TextPlace | undefined;
  readonly changes: readonly LiveChange[];
}

/**
 * What of a change a listener has not had yet who has the text up to `place`. A listener may be
 * ahead of what is known here: then nothing is told until the text has reached its place.
 */
export function showChange(place: TextPlace | undefined, change: LiveChange): ShownStep {
  const { turn, attempt } = change;
  const order = place === undefined ? 0 : turn - place.turn || attempt - place.attempt;
  if (order < 0) return { place, changes: [] };
  const isNew = place === undefined || order > 0;
  const opening = openingOf(place, { turn, attempt });
  if (change.kind !== 'added') {
    if (!isNew) return { place, changes: [] };
    const changes = opening.length > 0 ? opening : [change];
    return { place: { turn, attempt, end: 0 }, changes };
  }
  const known = isNew ? 0 : place.end;
  const start = change.end - change.text.length;
  if (start > known) return { place, changes: [] };
  const text = change.text.slice(known - start);
  const end = known + text.length;
  return {
    place: { turn, attempt, end },
    changes: [
      ...opening,
      ...(text === '' ? [] : [{ kind: 'added', turn, attempt, text, end } as const]),
    ],
  };
}

/** What is told before the text of another attempt, or of another turn. The first has nothing. */
function openingOf(
  place: TextPlace | undefined,
  { attempt, turn }: { readonly turn: number; readonly attempt: number },
): LiveChange[] {
  if (turn > (place?.turn ?? 1)) return [{ kind: 'turn', turn, attempt }];
  const isRestarted = place !== undefined && turn === place.turn && attempt > place.attempt;
  return isRestarted ? [{ kind: 'restarted', turn, attempt }] : [];
}

/** A whole text as one change, for a listener who may have a part of it. */
export function wholeText({ turn, attempt, text }: LiveText): LiveChange {
  return { kind: 'added', turn, attempt, text, end: text.length };
}

/** Takes one delta in. `live` is undefined for a job that nothing is known of. */
export function addDelta(live: LiveText | undefined, delta: TextPiece): LiveStep {
  const { turn, attempt } = delta;
  if (live === undefined) {
    return append({ turn, attempt, text: '' }, { delta, changes: [] });
  }
  const order = turn - live.turn || attempt - live.attempt;
  if (order < 0) return { live, changes: [] };
  if (order === 0) return append(live, { delta, changes: [] });
  const changes = [{ kind: turn > live.turn ? 'turn' : 'restarted', turn, attempt }] as const;
  return append({ turn, attempt, text: '' }, { delta, changes });
}

/** How a job ended, as its terminal event and its row tell it. */
export interface EndedText {
  readonly result?: string | undefined;
  readonly attempts?: readonly { readonly number: number }[] | undefined;
}

/**
 * What the end still adds to the text that was shown: deltas and results travel by different
 * topics, and the result may come first. Pieces may have gone missing, but the result is whole.
 */
export function showResult(place: TextPlace | undefined, ended: EndedText): ShownStep {
  if (ended.result === undefined) return { place, changes: [] };
  const turn = place?.turn ?? 1;
  const attempt = ended.attempts?.at(-1)?.number ?? place?.attempt ?? 1;
  return showChange(place, wholeText({ turn, attempt, text: ended.result }));
}

function append(
  live: LiveText,
  o: { readonly delta: TextPiece; readonly changes: readonly LiveChange[] },
): LiveStep {
  const { delta, changes } = o;
  const { turn, attempt } = live;
  const known = live.text.length;
  if (delta.start > known) return { live, changes: [...changes, wholePiece(delta)] };
  const text = delta.text.slice(known - delta.start);
  if (text === '') return { live, changes };
  const end = known + text.length;
  const added: LiveChange = { kind: 'added', turn, attempt, text, end };
  return { live: { ...live, text: live.text + text }, changes: [...changes, added] };
}

function wholePiece({ turn, attempt, start, text }: TextPiece): LiveChange {
  return { kind: 'added', turn, attempt, text, end: start + text.length };
}
