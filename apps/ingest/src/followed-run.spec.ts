import { setImmediate as nextTurn } from 'node:timers/promises';

import { describe, expect, it, jest } from '@jest/globals';
import {
  claudeDeltaSchema,
  jobFinishedSchema,
  jobIdSchema,
  jobStatusChangedSchema,
  jobStepSchema,
  jobViewSchema,
  tenantIdSchema,
  type ClaudeDelta,
  type JobStep,
} from '@millrace/contracts';
import { SilentLogger } from '@millrace/runtime';
import fc from 'fast-check';

import { changeFrame, eventId, snapshotFrame } from './core/job-event-frames.ts';
import type { RunChange, StreamPlace } from './core/live-run.ts';
import type { LiveText } from './core/live-text.ts';
import { parseResumePoint } from './core/resume-point.ts';
import { finishedView } from './core/job-view.ts';
import { JobFollower, type JobStage } from './job-follower.ts';
import { LiveJobs } from './live-jobs.ts';
import { MemoryToldRuns } from './memory-told-runs.fixture.ts';
import { Jobs, type LiveFeed } from './ports.ts';
import { ToldRunKeeper } from './told-run-keeper.ts';
import { streamSettings } from './stream-settings.ts';

// Two hundred stories take seconds, and ten times that beside a whole test run.
jest.setTimeout(60_000);

const at = '2026-11-23T10:00:00.000Z';
const tenant = tenantIdSchema.parse('default');
const name = { tenant, id: jobIdSchema.parse('agent-1') };
const settings = streamSettings({ STREAMS_MAX: 1, STREAMS_PER_TENANT_MAX: 1 });
const feed: LiveFeed = { caughtUp: () => Promise.resolve() };
const running = jobViewSchema.parse({
  id: name.id,
  type: 'agent',
  status: 'running',
  lane: 'standard',
  created_at: at,
  trace_id: '0af7651916cd43dd8448eb211c80319c',
});
const finished = jobFinishedSchema.parse({
  tenant,
  job_id: name.id,
  type: 'agent',
  status: 'succeeded',
  result: 'what no text says',
  attempts: [],
  created_at: at,
  finished_at: at,
});

const ended = finishedView(running, finished);

/** A step of the run, or of a sub-agent of it, whose versions count for themselves. */
function stepOf(version: number, workflow_id: string, kind: 'signal' | 'awaiting_signal') {
  const place = { tenant, job_id: name.id, workflow_id, version, index: 0, at };
  return jobStepSchema.parse({ ...place, step: { kind, name: 'go' } });
}

function delta(turn: number, attempt: number, start: number, text: string): ClaudeDelta {
  return claudeDeltaSchema.parse({ tenant, job_id: name.id, turn, attempt, start, text });
}

/** The topic's partition: what a run told, some of it twice; a place in it is an offset. */
interface Story {
  readonly told: readonly (ClaudeDelta | JobStep)[];
  /** Of each turn, the text of its last attempt. */
  readonly texts: readonly string[];
  readonly steps: readonly JobStep[];
}

/** Each turn: the texts of its attempts. Steps stand between them, and within each text. */
function story(turns: readonly (readonly string[])[], size: number): Story {
  const steps: JobStep[] = [];
  const step = (workflow: string, kind: 'signal' | 'awaiting_signal'): JobStep => {
    const made = stepOf(steps.length + 1, workflow, kind);
    steps.push(made);
    return made;
  };
  const told = turns.flatMap((attempts, turn) => {
    const texts = attempts.flatMap((text, attempt) => {
      const starts = Array.from({ length: Math.ceil(text.length / size) }, (_, n) => n * size);
      const pieces = starts.map((start) =>
        delta(turn + 1, attempt + 1, start, text.slice(start, start + size)),
      );
      const within = step(`${name.id}/c1`, 'awaiting_signal');
      return [...pieces.slice(0, 1), within, ...pieces, within];
    });
    const after = step(name.id, 'signal');
    return [...texts, after, after];
  });
  return { told, texts: turns.map((attempts) => attempts.at(-1) ?? ''), steps };
}

/** The row that all replicas read. */
class Row {
  view = running;
  readonly jobs: Jobs = Object.assign(Object.create(Jobs.prototype), {
    find: () => Promise.resolve(this.view),
  });
}

/** One process, which has read the partition up to a place of its own. */
class Replica {
  private live = new LiveJobs(settings);
  private readUpTo = 0;

  constructor(
    private readonly told: Story,
    private readonly runs: MemoryToldRuns,
    private readonly row: Row,
  ) {}

  read(upTo: number): void {
    const end = Math.min(upTo, this.told.told.length);
    for (let offset = this.readUpTo; offset < end; offset += 1) {
      const data = this.told.told[offset]!;
      if ('step' in data) this.live.addStep(data, offset);
      else this.live.addDelta(data);
    }
    this.readUpTo = Math.max(this.readUpTo, end);
  }

  restart(): void {
    this.live = new LiveJobs(settings);
    this.readUpTo = 0;
  }

  finish(): void {
    this.live.finished(finished);
  }

  /** The end comes by the step, whose process follows the run by itself. */
  async keep(): Promise<void> {
    await new ToldRunKeeper(this.live, feed, this.runs).keep([finished]);
  }

  async follow(client: Client): Promise<() => void> {
    const { jobs, view } = this.row;
    const follower = new JobFollower(jobs, this.live, feed, this.runs, new SilentLogger());
    const from = parseResumePoint(name.id, client.lastId);
    const after = from.kind === 'after' ? from.place : undefined;
    const told = await follower.toldOf(name, view);
    return follower.follow({ name, view, after, told }, client);
  }
}

/** Puts text and steps together by what it is told; fails on a gap, a repeat or a step back. */
class Client implements JobStage {
  readonly texts: string[] = [];
  readonly steps: JobStep[] = [];
  lastId: string | undefined;
  hasEnded = false;
  private turn = 1;
  private attempt = 0;

  snapshot(live: LiveText, at: StreamPlace): void {
    expect(this.texts[live.turn - 1]).toBeUndefined();
    expect(snapshotFrame(running, live, at)).toContain(`"turn":${live.turn}`);
    this.turn = live.turn;
    this.attempt = live.attempt;
    this.texts[live.turn - 1] = live.text;
    this.lastId = eventId(name.id, at);
  }

  changed(change: RunChange, at: StreamPlace): void {
    this.lastId = /^id: (.*)$/m.exec(changeFrame(running, change, at))?.[1];
    expect(this.lastId).toBe(eventId(name.id, at));
    if (change.kind === 'step') return void this.steps.push(change.step);
    if (change.kind === 'turn') {
      expect(change.turn).toBeGreaterThan(this.turn);
      this.turn = change.turn;
    }
    expect(change.turn).toBe(this.turn);
    if (change.kind === 'restarted') {
      expect(change.attempt).toBeGreaterThan(this.attempt);
      this.texts[change.turn - 1] = '';
    }
    if (change.kind === 'added') {
      const text = this.texts[change.turn - 1] ?? '';
      expect(change.end - change.text.length).toBe(text.length);
      this.texts[change.turn - 1] = text + change.text;
    }
    this.attempt = change.attempt;
  }

  running(): void {}

  status(): void {}

  ended(): void {
    this.hasEnded = true;
  }
}

type Move =
  | { readonly do: 'read'; readonly replica: number; readonly upTo: number }
  | { readonly do: 'connect' | 'restart'; readonly replica: number };

/** Whether the client is there at the run's end, or comes back to a replica that knows nothing. */
interface Played {
  readonly moves: readonly Move[];
  readonly comesLater: boolean;
}

async function play(told: Story, { comesLater, moves }: Played): Promise<Client> {
  const runs = new MemoryToldRuns();
  const row = new Row();
  const replicas = [0, 1, 2].map(() => new Replica(told, runs, row));
  const client = new Client();
  let stop: () => void = () => undefined;
  for (const move of moves) {
    const replica = replicas[move.replica]!;
    switch (move.do) {
      case 'read':
        replica.read(move.upTo);
        break;
      case 'restart':
        // Its connections go with it.
        stop();
        replica.restart();
        break;
      case 'connect':
        stop();
        stop = await replica.follow(client);
        await nextTurn();
    }
  }
  stop();
  const [ender] = replicas;
  ender!.read(Infinity);
  if (!comesLater) stop = await ender!.follow(client);
  ender!.finish();
  await ender!.keep();
  row.view = ended;
  while (!comesLater && !client.hasEnded) await nextTurn();
  // The end that comes again finds nothing in memory: what was kept stays.
  ender!.restart();
  await ender!.keep();
  if (comesLater) stop = await new Replica(told, runs, row).follow(client);
  stop();
  return client;
}

describe('a client that follows a run, is cut off and comes back to any replica', () => {
  const attempts = fc.array(fc.string({ minLength: 1, maxLength: 12 }), {
    minLength: 1,
    maxLength: 3,
  });
  const turns = fc.array(attempts, { minLength: 1, maxLength: 4 });
  const replica = fc.nat(2);
  const done = <D extends Move['do']>(what: D) => fc.constant(what);
  const move: fc.Arbitrary<Move> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: done('read'), replica, upTo: fc.nat(80) }) },
    { weight: 4, arbitrary: fc.record({ do: done('connect'), replica }) },
    { weight: 1, arbitrary: fc.record({ do: done('restart'), replica }) },
  );

  it('has the text of every turn and every step, each once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        turns,
        fc.integer({ min: 1, max: 5 }),
        fc.array(move, { maxLength: 20 }),
        fc.boolean(),
        async (texts, size, moves, comesLater) => {
          const told = story(texts, size);
          const client = await play(told, { moves, comesLater });
          expect(client.texts).toEqual(told.texts);
          expect(client.steps).toEqual(told.steps);
          expect(client.hasEnded).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('the status of a run that is followed', () => {
  it('is told once for a version, and never one of before', () => {
    const live = new LiveJobs(settings);
    const jobs: Jobs = Object.assign(Object.create(Jobs.prototype), {
      find: () => Promise.resolve(running),
    });
    const told: string[] = [];
    const stage = Object.assign(new Client(), { status: (status: string) => told.push(status) });
    const stop = new JobFollower(jobs, live, feed, new MemoryToldRuns(), new SilentLogger()).follow(
      { name, view: running },
      stage,
    );
    for (const [version, status] of [
      [2, 'awaiting_approval'],
      [2, 'awaiting_approval'],
      [1, 'running'],
      [3, 'running'],
    ] as const) {
      const { id: job_id } = name;
      live.status(
        jobStatusChangedSchema.parse({
          kind: 'status',
          tenant,
          job_id,
          created_at: at,
          status,
          version,
          at,
        }),
      );
    }
    stop();
    expect(told).toEqual(['awaiting_approval', 'running']);
  });
});

it('a run that tells more than is kept loses its beginning, not what comes', () => {
  const live = new LiveJobs(settings);
  const long = 'x'.repeat(1024 * 1024);
  for (const turn of [1, 2, 3, 4]) live.addDelta(delta(turn, 1, 0, long));
  live.addStep(stepOf(1, name.id, 'signal'), 7);
  const shown: string[] = [];
  const watcher = { changed() {}, running() {}, status() {}, finished() {} };
  const { run } = live.watch(name, watcher);
  for (const entry of run?.before ?? []) shown.push(entry.kind);
  expect([shown, run?.text?.turn, run?.after.length]).toEqual([[], 4, 1]);
});
