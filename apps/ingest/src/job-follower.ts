import { setTimeout as delay } from 'node:timers/promises';

import {
  isTerminal,
  type JobFinished,
  type JobStatusChanged,
  type JobView,
} from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { finishedView } from './core/job-view.ts';
import {
  entriesOf,
  placeAfter,
  showRunChange,
  type RunChange,
  type RunEntry,
  type StreamPlace,
} from './core/live-run.ts';
import { showResult, wholeText, type LiveText, type ShownStep } from './core/live-text.ts';
import { isTextOutsideRow } from './core/told-run.ts';
import { LiveJobs, type JobWatch, type JobWatcher } from './live-jobs.ts';
import { Jobs, LiveFeed, ToldRuns, type JobName } from './ports.ts';

/** A row follows its terminal event within 10 ms; Postgres may be away for a while. */
const rowFollowsMsMax = 30_000;
const rowLookEveryMs = 50;
/** The first looks are sooner, each pause twice the one before. */
const firstLookMs = 4;
const soonLooksMax = rowFollowsMsMax / rowLookEveryMs;
/** An end is told without its row when that has not followed by then. */
const endWaitsMsMax = 1_000;
/** How often a row is looked at in case its event was missed. */
const lookEveryMs = 60_000;

/** What is followed, and from where: a job's row as it was read, and what is known of it. */
export interface Followed {
  readonly name: JobName;
  readonly view: JobView;
  readonly after?: StreamPlace | undefined;
  /** Of a job that has ended, as `toldOf` found it. */
  readonly told?: readonly RunEntry[] | undefined;
}

/** Where a followed job is shown. Nothing is called after `ended`. */
export interface JobStage {
  /** The text of a turn so far, for one who comes late. Before any other of that turn. */
  snapshot(live: LiveText, at: StreamPlace): void;
  /** @param at the place after it. */
  changed(change: RunChange, at: StreamPlace): void;
  running(): void;
  /** What the job waits for, or that it goes on. */
  status(status: JobStatusChanged['status']): void;
  /** The job has ended, and all of its text was shown. */
  ended(view: JobView): void;
}

/**
 * Follows a job until it ends, wherever it runs: the text by the deltas, the end by its row, so
 * that who reads the job as soon as it is told finds it ended. The terminal event says when to
 * look, and tells the end itself while the database cannot be asked.
 */
@Injectable()
export class JobFollower {
  constructor(
    private readonly jobs: Jobs,
    private readonly live: LiveJobs,
    private readonly feed: LiveFeed,
    private readonly runs: ToldRuns,
    private readonly log: Logger,
  ) {}

  /** What was told of a job that has ended, where its row does not have it. */
  async toldOf(name: JobName, view: JobView): Promise<readonly RunEntry[]> {
    const { status, type } = view;
    if (!isTerminal(status) || !isTextOutsideRow({ status, type })) return [];
    return this.runs.find(name);
  }

  /** @returns how to stop following. */
  follow({ name, view, after, told = [] }: Followed, stage: JobStage): () => void {
    const feed = this.feed;
    const following = new Following({ view, stage, feed, after });
    if (isTerminal(view.status)) {
      following.replay(view, told);
      return () => undefined;
    }
    const watch = this.live.watch(name, following);
    following.begin(watch);
    void this.lookAtRow(name, following);
    return () => following.stop();
  }

  /** The end may have passed between reading the row and watching; then the row has it. */
  private async lookAtRow(name: JobName, following: Following): Promise<void> {
    const { signal } = following.stopped;
    while (!signal.aborted) {
      const found = await this.find(name);
      if (found !== null && isTerminal(found.view.status)) {
        return following.end(found.view, found.told);
      }
      await following.nextLook();
    }
  }

  /** Null, too, while the database cannot be asked: the end may come by its event meanwhile. */
  private async find(name: JobName): Promise<FoundEnd | null> {
    try {
      const view = await this.jobs.find(name);
      return view === null ? null : { view, told: await this.toldOf(name, view) };
    } catch (error) {
      this.log.warn({ error, job_id: name.id }, 'a followed job could not be read');
      return null;
    }
  }
}

interface FoundEnd {
  readonly view: JobView;
  readonly told: readonly RunEntry[];
}

/** One stage's place in one job. */
class Following implements JobWatcher {
  readonly stopped = new AbortController();
  /** Looks at the row that are left before they are made seldom again. */
  private soonLooks = 0;
  private wake: () => void = () => undefined;
  private watch: JobWatch | undefined;
  private isRunning: boolean;
  private isEnding = false;
  /** Of the run's status that was shown last. */
  private version = 0;
  private place: StreamPlace;
  private readonly view: JobView;
  private readonly stage: JobStage;

  constructor(
    private readonly options: {
      readonly view: JobView;
      readonly stage: JobStage;
      readonly feed: LiveFeed;
      readonly after: StreamPlace | undefined;
    },
  ) {
    const { after, stage, view } = options;
    this.view = view;
    this.stage = stage;
    this.isRunning = view.status !== 'queued';
    this.place = after ?? { text: undefined, step: undefined };
  }

  begin(watch: JobWatch): void {
    this.watch = watch;
    if (watch.hasEnded) this.lookSoon();
    if (watch.run !== undefined) this.catchUp(entriesOf(watch.run));
  }

  /**
   * A job that had ended before: what of its text is missing, and its end. What a run has come to
   * is not its text: the end tells of it.
   */
  replay(view: JobView, told: readonly RunEntry[]): void {
    if (told.length > 0) this.catchUp(told);
    else if (view.type === 'message') this.answer(view);
    this.stage.ended(view);
  }

  changed(changes: readonly RunChange[]): void {
    if (this.stopped.signal.aborted) return;
    this.running();
    for (const change of changes) this.show(change);
  }

  status({ status, version }: JobStatusChanged): void {
    if (this.stopped.signal.aborted || version <= this.version) return;
    this.version = version;
    if (status === 'running' && !this.isRunning) return this.running();
    this.isRunning = true;
    this.stage.status(status);
  }

  running(): void {
    if (this.isRunning || this.stopped.signal.aborted) return;
    this.isRunning = true;
    this.stage.running();
  }

  finished(end: JobFinished): void {
    if (this.stopped.signal.aborted) return;
    this.lookSoon();
    // An answer that travelled by reference is read with its row.
    if (end.message_ref !== undefined) return;
    const view = finishedView(this.view, end);
    this.showRest(view);
    void this.endWithoutRow(view);
  }

  /** @param told what is kept of it, where the row does not have the text. */
  end(view: JobView, told: readonly RunEntry[] = []): void {
    if (this.stopped.signal.aborted) return;
    if (!this.showRest(view)) return void this.endRun(view, told);
    this.stop();
    this.stage.ended(view);
  }

  private async endWithoutRow(view: JobView): Promise<void> {
    await this.pause(endWaitsMsMax);
    this.end(view);
  }

  /** @returns false when the text stands in no result. */
  private showRest(view: JobView): boolean {
    if (view.type !== 'message' || view.result === undefined) return false;
    const step = showResult(this.place.text, view);
    if (step.changes.length > 0) this.running();
    this.showText(step);
    return true;
  }

  /** Its text is in no result: what was told of it before its end is to be here first. */
  private async endRun(view: JobView, told: readonly RunEntry[]): Promise<void> {
    if (this.isEnding) return;
    this.isEnding = true;
    await this.options.feed.caughtUp();
    if (this.stopped.signal.aborted) return;
    for (const entry of told) this.show(entry.kind === 'step' ? entry : wholeText(entry.live));
    this.stop();
    this.stage.ended(view);
  }

  stop(): void {
    this.stopped.abort();
    this.watch?.stop();
  }

  /** Resolves when the row is to be looked at again. */
  async nextLook(): Promise<void> {
    if (this.soonLooks === 0) {
      const woken = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      await Promise.race([this.pause(lookEveryMs), woken]);
    }
    if (this.soonLooks === 0) return;
    const looked = soonLooksMax - this.soonLooks;
    this.soonLooks -= 1;
    await this.pause(Math.min(rowLookEveryMs, firstLookMs * 2 ** looked));
  }

  /** The job has ended: its row says so, or will within milliseconds. */
  private lookSoon(): void {
    this.soonLooks = soonLooksMax;
    this.wake();
  }

  private async pause(ms: number): Promise<void> {
    const { signal } = this.stopped;
    await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }

  /** Shows what was told before: what of it is missing, or all of it to one who comes late. */
  private catchUp(entries: readonly RunEntry[]): void {
    for (const entry of entries) {
      if (entry.kind === 'step') this.show(entry);
      else if (this.options.after !== undefined) this.show(wholeText(entry.live));
      else if (entry.live.text !== '') this.late(entry.live);
    }
  }

  /** Shows what of a message's result is missing. */
  private answer(view: JobView): void {
    const text = view.result ?? '';
    if (this.place.text !== undefined) this.showText(showResult(this.place.text, view));
    else if (text !== '') {
      this.late({ turn: 1, attempt: view.attempts?.at(-1)?.number ?? 1, text });
    }
  }

  private late(live: LiveText): void {
    this.running();
    const { attempt, text, turn } = live;
    this.place = { ...this.place, text: { turn, attempt, end: text.length } };
    this.stage.snapshot(live, this.place);
  }

  private show(change: RunChange): void {
    const { changes, place } = showRunChange(this.place, change);
    this.tell(changes, place);
  }

  private showText({ changes, place: text }: ShownStep): void {
    this.tell(changes, { ...this.place, text });
  }

  private tell(changes: readonly RunChange[], place: StreamPlace): void {
    const { step } = place;
    for (const change of changes) {
      const at = change.kind === 'step' ? place : { step, text: placeAfter(change) };
      this.stage.changed(change, at);
    }
    this.place = place;
  }
}
