import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

import { describe, expect, it, jest } from '@jest/globals';
import {
  claudeDeltaSchema,
  jobFinishedSchema,
  jobIdSchema,
  jobViewSchema,
  tenantIdSchema,
  type ClaudeDelta,
  type JobFinished,
  type JobView,
} from '@millrace/contracts';
import { SilentLogger } from '@millrace/runtime';
import fc from 'fast-check';

import { eventId } from './core/job-event-frames.ts';
import { finishedView } from './core/job-view.ts';
import type { RunChange, StreamPlace } from './core/live-run.ts';
import type { LiveText } from './core/live-text.ts';
import { parseResumePoint } from './core/resume-point.ts';
import { JobFollower, type JobStage } from './job-follower.ts';
import { LiveJobs } from './live-jobs.ts';
import { MemoryToldRuns } from './memory-told-runs.fixture.ts';
import { Jobs, type LiveFeed } from './ports.ts';
import { streamSettings } from './stream-settings.ts';

// Two hundred stories take two seconds, and ten times that beside a whole test run.
jest.setTimeout(60_000);

const at = '2026-11-23T10:00:00.000Z';
const tenant = tenantIdSchema.parse('default');
const name = { tenant, id: jobIdSchema.parse('job-1') };
const settings = streamSettings({ STREAMS_MAX: 1, STREAMS_PER_TENANT_MAX: 1 });
const running: JobView = jobViewSchema.parse({
  id: name.id,
  type: 'message',
  status: 'running',
  lane: 'standard',
  created_at: at,
  trace_id: '0af7651916cd43dd8448eb211c80319c',
});

/** A job as it is told: pieces of the text of each attempt, and its end. */
interface Story {
  readonly deltas: readonly ClaudeDelta[];
  readonly end: JobFinished;
  readonly result: string;
}

function story(attempts: readonly string[], size: number): Story {
  const deltas = attempts.flatMap((text, index) => {
    const starts = Array.from({ length: Math.ceil(text.length / size) }, (_, n) => n * size);
    const told = starts.map((start) =>
      claudeDeltaSchema.parse({
        tenant,
        job_id: name.id,
        turn: 1,
        attempt: index + 1,
        start,
        text: text.slice(start, start + size),
      }),
    );
    // Everything is told twice, and the beginning once more.
    return told.flatMap((each) => [each, ...told.slice(0, 1), each]);
  });
  const result = attempts.at(-1) ?? '';
  const end = jobFinishedSchema.parse({
    tenant,
    job_id: name.id,
    type: 'message',
    status: 'succeeded',
    result,
    attempts: attempts.map((_, index) => ({
      number: index + 1,
      outcome: index + 1 === attempts.length ? 'succeeded' : 'unknown',
      started_at: at,
      ended_at: at,
    })),
    created_at: at,
    finished_at: at,
  });
  return { deltas, end, result };
}

/** The row that all replicas read. */
class Row {
  view = running;
  readonly jobs: Jobs = Object.assign(Object.create(Jobs.prototype), {
    find: () => Promise.resolve(this.view),
  });
}

/** Messages that succeed have their text in their row. */
const runs = new MemoryToldRuns();
/** Everything that was told is known. */
const feed: LiveFeed = { caughtUp: () => Promise.resolve() };

/** One process: its own place in the topics, which have their own speeds. */
class Replica {
  private live = new LiveJobs(settings);
  private deltasRead = 0;
  private hasReadEnd = false;

  constructor(
    private readonly told: Story,
    private readonly row: Row,
  ) {}

  readDeltas(upTo: number): void {
    const news = this.told.deltas.slice(this.deltasRead, upTo);
    this.deltasRead = Math.max(this.deltasRead, upTo);
    for (const delta of news) this.live.addDelta(delta);
  }

  readEnd(): void {
    if (this.hasReadEnd) return;
    this.hasReadEnd = true;
    this.live.finished(this.told.end);
  }

  /** Knows nothing any more, and reads on from an earlier place, or from one that is too late. */
  restart(from: number): void {
    this.live = new LiveJobs(settings);
    this.deltasRead = from;
  }

  follow(client: Client): () => void {
    const follower = new JobFollower(this.row.jobs, this.live, feed, runs, new SilentLogger());
    const from = parseResumePoint(name.id, client.lastId);
    const after = from.kind === 'after' ? from.place : undefined;
    return follower.follow({ name, view: this.row.view, after }, client);
  }
}

/** Puts the text together by what it is told; fails on a gap, a repeat or a step back. */
class Client implements JobStage {
  text = '';
  lastId: string | undefined;
  hasEnded = false;
  private attempt = 0;

  snapshot(live: LiveText, at: StreamPlace): void {
    expect(this.lastId).toBeUndefined();
    this.text = live.text;
    this.attempt = live.attempt;
    this.lastId = eventId(name.id, at);
  }

  changed(change: RunChange, at: StreamPlace): void {
    if (change.kind === 'turn' || change.kind === 'step') throw new TypeError('of a message');
    if (change.kind !== 'added') {
      expect(change.attempt).toBeGreaterThan(this.attempt);
      this.text = '';
    } else {
      if (this.lastId !== undefined) expect(change.attempt).toBe(this.attempt);
      expect(change.end - change.text.length).toBe(this.text.length);
      expect(change.text).not.toBe('');
      this.text += change.text;
    }
    this.lastId = eventId(name.id, at);
    this.attempt = change.attempt;
  }

  running(): void {}

  status(): void {}

  ended(view: JobView): void {
    expect(this.hasEnded).toBe(false);
    expect(view.status).toBe('succeeded');
    this.hasEnded = true;
  }
}

type Step =
  | { readonly do: 'read'; readonly replica: number; readonly upTo: number }
  | { readonly do: 'connect'; readonly replica: number }
  | { readonly do: 'restart'; readonly replica: number; readonly from: number }
  | { readonly do: 'end'; readonly replica: number };

const replica = fc.nat(2);
const count = fc.nat(40);
const done = <D extends Step['do']>(what: D) => fc.constant(what);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: done('read'), replica, upTo: count }) },
  { weight: 4, arbitrary: fc.record({ do: done('connect'), replica }) },
  { weight: 2, arbitrary: fc.record({ do: done('restart'), replica, from: count }) },
  { weight: 1, arbitrary: fc.record({ do: done('end'), replica }) },
);

async function play(told: Story, steps: readonly Step[], rowFollowsAt: number): Promise<Client> {
  const row = new Row();
  const replicas = [0, 1, 2].map(() => new Replica(told, row));
  const client = new Client();
  let stop: () => void = () => undefined;
  for (const [index, each] of steps.entries()) {
    if (index === rowFollowsAt) row.view = finishedView(running, told.end);
    const at = replicas[each.replica]!;
    if (client.hasEnded) break;
    switch (each.do) {
      case 'read':
        at.readDeltas(each.upTo);
        break;
      case 'restart':
        // Its connections go with it.
        stop();
        at.restart(each.from);
        break;
      case 'end':
        at.readEnd();
        break;
      case 'connect':
        stop();
        stop = at.follow(client);
        await nextTurn();
    }
  }
  stop();
  row.view = finishedView(running, told.end);
  if (!client.hasEnded) stop = replicas[0]!.follow(client);
  stop();
  return client;
}

describe('a client that is cut off, and comes back to any replica', () => {
  const answer = fc.string({ minLength: 1, maxLength: 30 });
  const attempts = fc.array(answer, { minLength: 1, maxLength: 4 });
  const steps = fc.array(step, { maxLength: 20 });

  it('has the result at the end: fresh, lagging or restarted, whatever comes first', async () => {
    await fc.assert(
      fc.asyncProperty(
        attempts,
        fc.integer({ min: 1, max: 5 }),
        steps,
        fc.nat(20),
        async (texts, size, taken, rowFollowsAt) => {
          const told = story(texts, size);
          const client = await play(told, taken, rowFollowsAt);
          expect([client.hasEnded, client.text]).toEqual([true, told.result]);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('an answer that travels by reference', () => {
  it('is told whole before the end, once the row has it', async () => {
    const told = story(['abcdef'], 2);
    const row = new Row();
    const live = new LiveJobs(settings);
    const client = new Client();
    const follower = new JobFollower(row.jobs, live, feed, runs, new SilentLogger());
    const stop = follower.follow({ name, view: running }, client);
    live.addDelta(told.deltas[0]!);
    const { result: _result, ...end } = told.end;
    live.finished({ ...end, message_ref: jobFinishedSchema.shape.message_ref.parse('blob_1')! });
    await nextTurn();
    expect([client.hasEnded, client.text]).toEqual([false, 'ab']);
    row.view = finishedView(running, told.end);
    while (!client.hasEnded) await nextTurn();
    expect(client.text).toBe('abcdef');
    stop();
  });
});

it('a job whose text is there runs before it is shown, also to who comes late', async () => {
  const live = new LiveJobs(settings);
  const [first] = story(['abcdef'], 6).deltas;
  live.addDelta(first!);
  const shown: string[] = [];
  const stage = Object.assign(new Client(), {
    running: () => shown.push('running'),
    snapshot: () => shown.push('snapshot'),
  });
  const queued = new Row();
  const view: JobView = { ...running, status: 'queued' };
  const follower = new JobFollower(queued.jobs, live, feed, runs, new SilentLogger());
  follower.follow({ name, view }, stage)();
  expect(shown).toEqual(['running', 'snapshot']);
});

describe('the end of a job that is followed', () => {
  const told = story(['abcdef'], 2);

  function followed() {
    const row = new Row();
    const live = new LiveJobs(settings);
    const client = new Client();
    const follower = new JobFollower(row.jobs, live, feed, runs, new SilentLogger());
    follower.follow({ name, view: running }, client);
    return { client, live, row };
  }

  it('is told once the row says so, so that who reads the job then finds it ended', async () => {
    const { client, live, row } = followed();
    live.finished(told.end);
    await delay(20);
    expect([client.hasEnded, client.text]).toEqual([false, 'abcdef']);
    row.view = finishedView(running, told.end);
    while (!client.hasEnded) await nextTurn();
    expect(client.text).toBe('abcdef');
  });

  it('is told by its event when the row does not follow', async () => {
    const { client, live } = followed();
    live.finished(told.end);
    while (!client.hasEnded) await delay(10);
    expect(client.text).toBe('abcdef');
  });
});
