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
  type StreamPlace,
} from './core/live-run.ts';
import { showResult, wholeText, type LiveText, type ShownStep } from './core/live-text.ts';
import { LiveJobs, type JobWatch, type JobWatcher } from './live-jobs.ts';
import { Jobs, LiveFeed, type JobName } from './ports.ts';

/** A row follows its terminal event within milliseconds; Postgres may be away for a while. */
const rowFollowsMsMax = 30_000;
const rowLookEveryMs = 50;
/** How often a row is looked at in case its event was missed. */
const lookEveryMs = 60_000;

/** What is followed, and from where: a job's row as it was read, and what is known of it. */
export interface Followed {
  readonly name: JobName;
  readonly view: JobView;
  readonly after?: StreamPlace | undefined;
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
 * Follows a job until it ends, wherever it runs: the text by the deltas, the end by its terminal
 * event or by the row, whichever tells first.
 */
@Injectable()
export class JobFollower {
  constructor(
    private readonly jobs: Jobs,
    private readonly live: LiveJobs,
    private readonly feed: LiveFeed,
    private readonly log: Logger,
  ) {}

  /** @returns how to stop following. */
  follow({ name, view, after }: Followed, stage: JobStage): () => void {
    const feed = this.feed;
    const following = new Following({ view, stage, feed, after });
    if (isTerminal(view.status)) {
      following.replay(view);
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
      const view = await this.find(name);
      if (view !== null && isTerminal(view.status)) return following.end(view);
      await following.nextLook();
    }
  }

  /** Null, too, while the database cannot be asked: the end may come by its event meanwhile. */
  private async find(name: JobName): Promise<JobView | null> {
    try {
      return await this.jobs.find(name);
    } catch (error) {
      this.log.warn({ error, job_id: name.id }, 'a followed job could not be read');
      return null;
    }
  }
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
    for (const entry of watch.run === undefined ? [] : entriesOf(watch.run)) {
      if (entry.kind === 'step') this.show(entry);
      else if (this.options.after !== undefined) this.show(wholeText(entry.live));
      else if (entry.live.text !== '') this.late(entry.live);
    }
  }

  /**
   * A job that had ended before: what of its text is missing, and its end. What a run has come to
   * is not its text: the end tells of it.
   */
  replay(view: JobView): void {
    const text = view.result ?? '';
    if (view.type === 'message') {
      if (this.place.text !== undefined) this.showText(showResult(this.place.text, view));
      else if (text !== '') {
        this.late({ turn: 1, attempt: view.attempts?.at(-1)?.number ?? 1, text });
      }
    }
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
    // An answer that travelled by reference is read with its row, which follows in a moment.
    if (end.message_ref !== undefined) this.lookSoon();
    else this.end(finishedView(this.view, end));
  }

  end(view: JobView): void {
    if (this.stopped.signal.aborted) return;
    if (view.type !== 'message') return void this.endRun(view);
    const step = showResult(this.place.text, view);
    if (step.changes.length > 0) this.running();
    this.showText(step);
    this.stop();
    this.stage.ended(view);
  }

  /** A run's text is in no result: what was told of it before its end is to be here first. */
  private async endRun(view: JobView): Promise<void> {
    if (this.isEnding) return;
    this.isEnding = true;
    await this.options.feed.caughtUp();
    if (this.stopped.signal.aborted) return;
    this.stop();
    this.stage.ended(view);
  }

  stop(): void {
    this.stopped.abort();
    this.watch?.stop();
  }

  /** Resolves when the row is to be looked at again. */
  async nextLook(): Promise<void> {
    const isSoon = this.soonLooks > 0;
    if (isSoon) this.soonLooks -= 1;
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    const { signal } = this.stopped;
    const waited = delay(isSoon ? rowLookEveryMs : lookEveryMs, undefined, { signal, ref: false });
    await Promise.race([waited.catch(() => undefined), woken]);
  }

  /** The job has ended: its row says so, or will within milliseconds. */
  private lookSoon(): void {
    this.soonLooks = rowFollowsMsMax / rowLookEveryMs;
    this.wake();
  }

  private late(live: LiveText): void {
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
