import type { JobStep } from '@millrace/contracts';

import {
  addDelta,
  showChange,
  type LiveChange,
  type LiveText,
  type TextPiece,
  type TextPlace,
} from './live-text.ts';

/** A step as it was told. All records of a job lie in one partition: the offset is its place. */
export interface ToldStep {
  readonly kind: 'step';
  readonly offset: number;
  readonly step: JobStep;
}

export type RunChange = LiveChange | ToldStep;
export type RunEntry = { readonly kind: 'text'; readonly live: LiveText } | ToldStep;

/**
 * What was told of a job, in the order in which it came, which is the same in every process: the
 * text of each turn, where its first piece stood, and the steps between them. A message has one
 * text and no steps.
 *
 * R1: a step that comes again, as its run told it twice, is not there twice.
 * R2: what grows too long loses its beginning: the timeline has it.
 */
export interface LiveRun {
  readonly before: readonly RunEntry[];
  /** Of the latest turn. */
  readonly text: LiveText | undefined;
  readonly after: readonly ToldStep[];
  /** UTF-16 code units of all of it. */
  readonly length: number;
}

/** Entries and UTF-16 code units of one job: days of an agent's run, and some MiB at the most. */
const entriesMax = 1_000;
const lengthMax = 2 * 1024 * 1024;

/** Where a listener is: in the text, and by the offset of the last step that it was shown. */
export interface StreamPlace {
  readonly text: TextPlace | undefined;
  readonly step: number | undefined;
}

const nothing: LiveRun = { before: [], text: undefined, after: [], length: 0 };

/** Everything of a run, oldest first. */
export function entriesOf({ after, before, text }: LiveRun): readonly RunEntry[] {
  if (text === undefined) return [...before, ...after];
  return [...before, { kind: 'text', live: text }, ...after];
}

export function addPiece(
  run: LiveRun = nothing,
  delta: TextPiece,
): { readonly run: LiveRun; readonly changes: readonly LiveChange[] } {
  const { live, changes } = addDelta(run.text, delta);
  const grown = live.text.length - (run.text?.text.length ?? 0);
  if (run.text === undefined) {
    const before = [...run.before, ...run.after];
    return { run: { before, text: live, after: [], length: run.length + grown }, changes };
  }
  if (live.turn === run.text.turn) {
    return { run: { ...run, text: live, length: run.length + grown }, changes };
  }
  const length = run.length + live.text.length;
  return { run: bounded({ before: entriesOf(run), text: live, after: [], length }), changes };
}

export function addStep(
  run: LiveRun = nothing,
  told: ToldStep,
): { readonly run: LiveRun; readonly changes: readonly ToldStep[] } {
  const isKnown = entriesOf(run).some((each) => each.kind === 'step' && isSame(each, told));
  if (isKnown) return { run, changes: [] };
  const length = run.length + lengthOf(told);
  return { run: bounded({ ...run, after: [...run.after, told], length }), changes: [told] };
}

/** The same run without what takes room: what comes is still told to who has the rest. */
export function forgotten({ text }: LiveRun): LiveRun {
  return { ...nothing, text: text === undefined ? text : { ...text, text: '' } };
}

/** What of a change a listener has not had yet who is at `place`. */
export function showRunChange(
  place: StreamPlace,
  change: RunChange,
): { readonly place: StreamPlace; readonly changes: readonly RunChange[] } {
  if (change.kind === 'step') {
    const isNew = place.step === undefined || change.offset > place.step;
    if (!isNew) return { place, changes: [] };
    return { place: { ...place, step: change.offset }, changes: [change] };
  }
  const shown = showChange(place.text, change);
  return { place: { ...place, text: shown.place }, changes: shown.changes };
}

/** The text's place after a change of it was shown. */
export function placeAfter({ attempt, turn, ...change }: LiveChange): TextPlace {
  return { turn, attempt, end: change.kind === 'added' ? change.end : 0 };
}

/** R2 */
function bounded(run: LiveRun): LiveRun {
  let { length } = run;
  const entries = [...run.before];
  const after = [...run.after];
  while (entries.length + after.length > entriesMax || length > lengthMax) {
    const oldest = entries.length > 0 ? entries.shift() : after.shift();
    if (oldest === undefined) break;
    length -= lengthOf(oldest);
  }
  return { ...run, before: entries, after, length };
}

function lengthOf(entry: RunEntry): number {
  return entry.kind === 'text' ? entry.live.text.length : JSON.stringify(entry.step).length;
}

function isSame({ step: a }: ToldStep, { step: b }: ToldStep): boolean {
  return a.version === b.version && a.index === b.index && a.workflow_id === b.workflow_id;
}
