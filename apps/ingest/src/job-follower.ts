import { setTimeout as delay } from 'node:timers/promises';

import { isTerminal, type JobFinished, type JobView } from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { finishedView } from './core/job-view.ts';
import {
  showChange,
  showResult,
  wholeText,
  type LiveChange,
  type LiveText,
  type ShownStep,
  type TextPlace,
} from './core/live-text.ts';
import { LiveJobs, type JobWatch, type JobWatcher } from './live-jobs.ts';
import { Jobs, type JobName } from './ports.ts';

/** A row follows its terminal event within milliseconds; Postgres may be away for a while. */
const rowFollowsMsMax = 30_000;
const rowLookEveryMs = 50;
/** How often a row is looked at in case its event was missed. */
const lookEveryMs = 60_000;

/** What is followed, and from where: a job's row as it was read, and the text that is known. */
export interface Followed {
  readonly name: JobName;
  readonly view: JobView;
  readonly after?: TextPlace | undefined;
}

/** Where a followed job is shown. Nothing is called after `ended`. */
export interface JobStage {
  /** The text so far, for one who comes late. Before any change, and at most once. */
  snapshot(live: LiveText): void;
  changed(change: LiveChange): void;
  running(): void;
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
    private readonly log: Logger,
  ) {}

  /** @returns how to stop following. */
  follow({ name, view, after }: Followed, stage: JobStage): () => void {
    const following = new Following(view, stage, after);
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

  constructor(
    private readonly view: JobView,
    private readonly stage: JobStage,
    private place: TextPlace | undefined,
  ) {
    this.isRunning = view.status !== 'queued';
  }

  begin(watch: JobWatch): void {
    this.watch = watch;
    if (watch.hasEnded) this.lookSoon();
    if (watch.live === undefined) return;
    const { turn, attempt, text } = watch.live;
    if (this.place !== undefined) this.show(showChange(this.place, wholeText(watch.live)));
    else if (text !== '') this.late({ turn, attempt, text });
  }

  /** A job that had ended before: what of its text is missing, and its end. */
  replay(view: JobView): void {
    const text = view.result ?? '';
    if (this.place !== undefined) this.show(showResult(this.place, view));
    else if (text !== '') this.late({ turn: 1, attempt: view.attempts?.at(-1)?.number ?? 1, text });
    this.stage.ended(view);
  }

  changed(changes: readonly LiveChange[]): void {
    if (this.stopped.signal.aborted) return;
    this.running();
    for (const change of changes) this.show(showChange(this.place, change));
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
    const step = showResult(this.place, view);
    if (step.changes.length > 0) this.running();
    this.show(step);
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
    this.place = { ...live, end: live.text.length };
    this.stage.snapshot(live);
  }

  private show({ place, changes }: ShownStep): void {
    this.place = place;
    for (const change of changes) this.stage.changed(change);
  }
}
