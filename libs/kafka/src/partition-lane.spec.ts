import { expect, it, jest } from '@jest/globals';
import { IdentityPayloadCodec, topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import fc from 'fast-check';

import type { ConsumerPort, FetchedBatch, FetchedMessage, PartitionOffset } from './client.ts';
import { KafkaClient } from './client.ts';
import { OffsetCommits } from './offset-commits.ts';
import { PartitionLane } from './partition-lane.ts';
import { StepRunner } from './step-runner.ts';
import type { StepRecord } from './step-runner.ts';

jest.setTimeout(30_000);

const topic = topics.jobsSubmitted;
const log = new SilentLogger();

/** What happens to one partition; a list of faults is used up one call after the other. */
interface Scenario {
  readonly events: number;
  readonly cuts: readonly number[];
  readonly handlerFails: readonly boolean[];
  readonly publishFails: readonly boolean[];
  readonly commitFails: readonly boolean[];
  /** After which batches, and whether before they are done, the partition is assigned anew. */
  readonly rebalances: readonly ('none' | 'during' | 'after')[];
}

const faults = fc.array(fc.boolean(), { maxLength: 5 });
const scenario: fc.Arbitrary<Scenario> = fc.record({
  events: fc.integer({ min: 1, max: 25 }),
  cuts: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
  handlerFails: faults,
  publishFails: faults,
  commitFails: faults,
  rebalances: fc.array(fc.constantFrom('none', 'during', 'after'), { maxLength: 8 }),
});

class NoKafka extends KafkaClient {
  readonly capabilities = { fencesCommits: false, keepsPositions: false };
  producer(): never {
    throw new Error('not here');
  }
  consumer(): never {
    throw new Error('not here');
  }
  clusterId(): Promise<string> {
    return Promise.resolve('model');
  }
  answers(): Promise<boolean> {
    return Promise.resolve(true);
  }
  topicRanges(): never {
    throw new Error('not here');
  }
  offsetsAt(): Promise<[]> {
    return Promise.resolve([]);
  }
}

/** The broker's partition and the world of the step, and what must hold of them. */
class Model {
  readonly count: number;
  readonly acknowledged = new Set<number>();
  readonly wrongs: string[] = [];
  committed = 0;
  private readonly calls = { handler: 0, publish: 0, commit: 0 };
  private handling = 0;

  constructor(private readonly given: Scenario) {
    // Each event lies in the partition twice.
    this.count = given.events * 2;
  }

  message(offset: number): FetchedMessage {
    const value = Buffer.from(String(offset >> 1));
    return { offset: String(offset), key: null, value, timestampMs: 0, headers: {} };
  }

  async handle(records: readonly StepRecord[]) {
    if (this.handling > 0) this.wrongs.push('two batches of the partition overlap');
    this.handling += 1;
    await new Promise((resolve) => setImmediate(resolve));
    this.handling -= 1;
    if (this.fails('handler')) throw new TypeError('a bug of the step');
    return {
      publish: records.map(({ offset }) => ({
        topic: topic.name,
        key: offset,
        headers: {},
        value: Buffer.alloc(0),
      })),
    };
  }

  async publish(messages: readonly { readonly key: unknown }[]): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.fails('publish')) throw new Error('no broker');
    for (const { key } of messages) this.acknowledged.add(Number(key));
  }

  async commit(offsets: readonly PartitionOffset[]): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    for (const { offset } of offsets) this.checkCommit(Number(offset));
    if (this.fails('commit')) throw new Error('REBALANCE_IN_PROGRESS');
    this.committed = Number(offsets[0]?.offset ?? this.committed);
  }

  private checkCommit(offset: number): void {
    for (let one = 0; one < offset; one += 1) {
      if (!this.acknowledged.has(one)) this.wrongs.push(`${offset} was committed before ${one}`);
    }
  }

  private fails(call: 'handler' | 'publish' | 'commit'): boolean {
    const index = this.calls[call];
    this.calls[call] += 1;
    return this.given[`${call}Fails`][index] ?? false;
  }
}

async function play(given: Scenario): Promise<Model> {
  const model = new Model(given);
  const none = (): void => {};
  const member: ConsumerPort = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    pause: none,
    resume: none,
    seek: none,
    commit: (offsets) => model.commit(offsets),
  };
  const commits = new OffsetCommits(() => member, log);
  const metrics = new Metrics();
  const runner = new StepRunner(
    { topic, form: 'raw', handler: (records) => model.handle(records) },
    {
      service: 'ingest',
      group: 'model',
      kafka: new NoKafka(),
      publisher: model,
      codec: new IdentityPayloadCodec(),
      log,
      metrics,
    },
  );
  const lane = new PartitionLane({
    place: { topic: topic.name, partition: 0 },
    runner,
    commits,
    member: () => member,
    closing: new AbortController().signal,
    lag: metrics.gauge('lag', { help: 'l', labels: ['topic', 'partition'] }),
    parked: metrics.gauge('parked', { help: 'p', labels: ['topic', 'partition'] }),
    log,
  });
  let position = 0;
  for (let turn = 0; position < model.count; turn += 1) {
    const size = given.cuts[turn % given.cuts.length] ?? 1;
    const end = Math.min(position + size, model.count);
    const offsets = Array.from({ length: end - position }, (_, n) => position + n);
    let isCurrent = true;
    const batch: FetchedBatch = {
      topic: topic.name,
      partition: 0,
      messages: offsets.map((offset) => model.message(offset)),
      lastOffset: String(end - 1),
      highWatermark: String(model.count),
      isCurrent: () => isCurrent,
      resolve: (offset) => {
        if (!isCurrent) model.wrongs.push('an offset moved under another assignment');
        position = Number(offset) + 1;
      },
    };
    const rebalance = given.rebalances[turn] ?? 'none';
    const taken = lane.take(batch);
    if (rebalance !== 'during') await taken.then(() => lane.idle());
    if (rebalance === 'none') continue;
    commits.revoke();
    commits.forget();
    lane.reassign();
    isCurrent = false;
    // The broker answers the commit that left before, then the new assignment begins there.
    for (let answers = 0; answers < 3; answers += 1) await new Promise(setImmediate);
    position = model.committed;
  }
  const deadline = Date.now() + 10_000;
  while (model.committed < model.count && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await commits.flush();
  return model;
}

it('a partition skips nothing and never commits ahead, whatever fails and moves', async () => {
  // Many at once: what takes long here is the waits after failures.
  const manyAtOnce = fc.array(scenario, { minLength: 60, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(manyAtOnce, async (scenarios) => {
      for (const model of await Promise.all(scenarios.map(play))) {
        expect(model.wrongs).toEqual([]);
        expect(model.acknowledged.size).toBe(model.count);
        expect(model.committed).toBe(model.count);
      }
    }),
    { numRuns: 2, endOnFailure: true },
  );
});
