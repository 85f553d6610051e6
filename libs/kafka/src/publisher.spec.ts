import { describe, expect, it } from '@jest/globals';
import type { OutgoingMessage } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';

import { KafkaClient, SendError } from './client.ts';
import type { ConsumerPort, ProducerPort, WireMessage } from './client.ts';
import { PublishError, Publisher } from './publisher.ts';
import type { PublisherOptions } from './publisher.ts';

/** A broker in memory: keeps what it took, refuses what a rule names, and tells of overlaps. */
class FakeKafka extends KafkaClient implements ProducerPort {
  readonly capabilities = { fencesCommits: false, keepsPositions: false };
  readonly batches: string[][] = [];
  refuse: (message: WireMessage) => boolean = () => false;
  isAway = false;
  /** Told the number of each send that has its answer. */
  afterSend: (sends: number) => void = () => undefined;
  private sends = 0;
  inFlight = 0;
  inFlightMax = 0;

  producer(): ProducerPort {
    return this;
  }

  consumer(): ConsumerPort {
    throw new Error('not here');
  }

  clusterId(): Promise<string> {
    return Promise.resolve('fake');
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

  async connect(): Promise<void> {}
  async disconnect(): Promise<void> {}

  async send(messages: readonly WireMessage[]): Promise<void> {
    this.inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    await new Promise((resolve) => setImmediate(resolve));
    this.inFlight -= 1;
    this.sends += 1;
    try {
      this.take(messages);
    } finally {
      this.afterSend(this.sends);
    }
  }

  private take(messages: readonly WireMessage[]): void {
    if (this.isAway) throw new SendError('unavailable', { cause: undefined });
    if (messages.some(this.refuse)) throw new SendError('rejected', { cause: undefined });
    this.batches.push(messages.map(({ value }) => String(value)));
  }
}

interface SetUp {
  readonly kafka: FakeKafka;
  readonly publisher: Publisher;
}

function setUp(options: Partial<PublisherOptions> = {}): SetUp {
  const kafka = new FakeKafka();
  const log = new SilentLogger();
  const publisher = new Publisher({ kafka, log, name: 'p', metrics: new Metrics(), ...options });
  return { kafka, publisher };
}

function message(text: string, onSettled?: (error?: Error) => void): OutgoingMessage {
  const own = { topic: 't', key: 'k', headers: {}, value: Buffer.from(text) };
  return onSettled === undefined ? own : { ...own, onSettled };
}

describe('a publisher', () => {
  it('has one send in flight, and gathers what comes meanwhile, in order', async () => {
    const { kafka, publisher } = setUp();
    const texts = Array.from({ length: 500 }, (_, n) => String(n));
    await Promise.all(texts.map((text) => publisher.publish([message(text)])));
    expect(kafka.batches.flat()).toEqual(texts);
    expect(kafka.inFlightMax).toBe(1);
    expect(kafka.batches.length).toBeLessThan(10);
  });

  it('fails a refused message alone', async () => {
    const { kafka, publisher } = setUp();
    kafka.refuse = ({ value }) => String(value) === '13';
    const settled: string[] = [];
    const all = Array.from({ length: 40 }, (_, n) =>
      message(String(n), (error) => settled.push(`${n}:${error?.name ?? 'ok'}`)),
    );
    const outcome = publisher.publish(all);
    await expect(outcome).rejects.toMatchObject({ reason: 'rejected', failed: [all[13]] });
    expect(kafka.batches.flat()).toHaveLength(39);
    expect(settled).toHaveLength(40);
    expect(settled).toContain('13:SendError');
    await publisher.publish([message('later')]);
  });

  it('fails what waits, too, when Kafka is away, so that nothing overtakes', async () => {
    const { kafka, publisher } = setUp();
    kafka.isAway = true;
    const first = publisher.publish([message('1')]);
    const second = publisher.publish([message('2')]);
    await expect(first).rejects.toBeInstanceOf(PublishError);
    await expect(second).rejects.toMatchObject({ reason: 'unavailable' });
    kafka.isAway = false;
    await publisher.publish([message('3')]);
    expect(kafka.batches).toEqual([['3']]);
  });

  it('sends no half of a refused batch after one that found Kafka away', async () => {
    const { kafka, publisher } = setUp();
    kafka.refuse = ({ value }) => {
      // From the first refusal on, which is the whole batch's.
      kafka.isAway = true;
      return String(value) === '3';
    };
    const all = Array.from({ length: 4 }, (_, n) => message(String(n)));
    const sent = publisher.publish(all);
    kafka.afterSend = (sends) => {
      if (sends === 2) kafka.isAway = false;
    };
    await expect(sent).rejects.toMatchObject({ reason: 'unavailable', failed: all });
    expect(kafka.batches).toEqual([]);
    kafka.refuse = () => false;
    await publisher.publish(all);
    expect(kafka.batches.flat()).toEqual(['0', '1', '2', '3']);
  });

  it('lets callers wait when its queue is full, and takes them in order', async () => {
    const { kafka, publisher } = setUp({ queueCountMax: 10 });
    const texts = Array.from({ length: 100 }, (_, n) => String(n));
    await Promise.all(texts.map((text) => publisher.publish([message(text)])));
    expect(kafka.batches.flat()).toEqual(texts);
  });

  it('puts waiting messages of one key together when it is told how', async () => {
    const settled: string[] = [];
    const { kafka, publisher } = setUp({
      coalesce: (waiting, next) => message(`${String(waiting.value)}${String(next.value)}`),
    });
    const first = publisher.publish([message('a', () => settled.push('a'))]);
    const second = publisher.publish([message('b', () => settled.push('b'))]);
    await Promise.all([first, second]);
    expect(kafka.batches).toEqual([['ab']]);
    expect(settled).toEqual(['a', 'b']);
  });

  it('sends what waits before it disconnects, and refuses what comes after', async () => {
    const { kafka, publisher } = setUp();
    const last = publisher.publish([message('last')]);
    await publisher.disconnect();
    await last;
    expect(kafka.batches).toEqual([['last']]);
    await expect(publisher.publish([message('late')])).rejects.toBeInstanceOf(PublishError);
  });
});
