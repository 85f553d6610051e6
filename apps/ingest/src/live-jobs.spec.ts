import { describe, expect, it } from '@jest/globals';
import { claudeDeltaSchema, jobIdSchema, tenantIdSchema } from '@millrace/contracts';

import type { RunChange } from './core/live-run.ts';
import { LiveJobs, type JobWatch, type JobWatcher } from './live-jobs.ts';
import { streamSettings } from './stream-settings.ts';

const tenant = tenantIdSchema.parse('default');

class Watcher implements JobWatcher {
  readonly told: string[] = [];

  changed(changes: readonly RunChange[]): void {
    this.told.push(...changes.map((each) => (each.kind === 'added' ? each.text : each.kind)));
  }
  running(): void {}
  status(): void {}
  finished(): void {}
}

function set(watchedLengthMax: number) {
  const config = { STREAMS_MAX: 1, STREAMS_PER_TENANT_MAX: 1 };
  const live = new LiveJobs(streamSettings(config, { watchedLengthMax }));
  const watch = (job: string, watcher = new Watcher()): JobWatch & { watcher: Watcher } => {
    const found = live.watch({ tenant, id: jobIdSchema.parse(job) }, watcher);
    return { ...found, watcher };
  };
  const tell = (job: string, start: number, text: string): void =>
    live.addDelta(
      claudeDeltaSchema.parse({ tenant, job_id: job, turn: 1, attempt: 1, start, text }),
    );
  return { live, watch, tell };
}

describe('the text of jobs that are watched', () => {
  it('is forgotten when there is no room for it, and told on to who has the rest', () => {
    const { watch, tell } = set(8);
    const [first, second] = [watch('a'), watch('b')];
    tell('a', 0, 'abcde');
    tell('b', 0, 'xyz');
    tell('b', 3, 'uvw');
    tell('b', 6, '!');
    expect(second.watcher.told).toEqual(['xyz', 'uvw', '!']);
    expect(watch('b').run?.text?.text).toBe('');
    expect(watch('a').run?.text?.text).toBe('abcde');
    first.stop();
  });

  it('leaves its room when nobody watches any more', () => {
    const { watch, tell } = set(8);
    const first = watch('a');
    tell('a', 0, 'abcdefgh');
    first.stop();
    const second = watch('b');
    tell('b', 0, 'xyz');
    expect(watch('b').run?.text?.text).toBe('xyz');
    second.stop();
    expect(watch('a').run?.text?.text).toBe('abcdefgh');
  });
});

it('a job that was told of before anyone watched gives its text to who comes late', () => {
  const { watch, tell } = set(8);
  tell('a', 0, 'abc');
  const late = watch('a');
  tell('a', 3, 'd');
  expect([late.run?.text?.text, late.watcher.told]).toEqual(['abc', ['d']]);
});

it('a job of which the beginning is missing here is told on, and shows no text', () => {
  const { watch, tell } = set(8);
  tell('a', 3, 'd');
  const late = watch('a');
  tell('a', 4, 'e');
  expect([late.run?.text?.text, late.watcher.told]).toEqual(['', ['e']]);
});
