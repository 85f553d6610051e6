import { createServer, type AddressInfo } from 'node:net';

import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { IdentityPayloadCodec, topics } from '@millrace/contracts';
import { HealthChecks, Metrics, SilentLogger } from '@millrace/runtime';
import { testBrokers } from '@millrace/testing';

import { createKafka } from './adapters/kafkajs-client.ts';
import { Publisher } from './publisher.ts';
import { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(60_000);

const log = new SilentLogger();
/** More than what a consumer may be down while the broker answers. */
const laterMs = 301_000;
const members: StepsStrategy[] = [];

afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(members.splice(0).map((member) => member.close()));
});

interface Where {
  readonly brokers: readonly string[];
  /** A prefix that no topic has: the broker answers, and there is nothing to consume. */
  readonly prefix?: string;
  readonly readyWithoutKafka?: boolean;
}

/** The health of a service whose consumer cannot have its partitions. */
function startMember({ brokers, prefix = '', readyWithoutKafka = false }: Where): HealthChecks {
  const kafka = createKafka({ brokers, prefix, clientId: 'spec', log });
  const health = new HealthChecks('spec');
  const member = new StepsStrategy({
    kafka,
    log,
    health,
    readyWithoutKafka,
    publisher: new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() }),
    codec: new IdentityPayloadCodec(),
    metrics: new Metrics(),
    groupId: 'health',
    service: 'ingest',
    handles: [topics.jobsFinished],
  });
  members.push(member);
  const extras = { 'millrace.step': { topic: topics.jobsFinished, form: 'event' } };
  member.addHandler(topics.jobsFinished.name, () => Promise.resolve({}), true, extras);
  member.listen((error) => expect(error).toBeUndefined());
  return health;
}

/** An address where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

function passTime(): void {
  const now = Date.now.bind(Date);
  jest.spyOn(Date, 'now').mockImplementation(() => now() + laterMs);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('a service whose broker is away', () => {
  it('lives for as long as that takes: a restart would mend nothing', async () => {
    const health = startMember({ brokers: [await nowhere()] });
    expect(await health.liveness()).toMatchObject({ status: 'ok' });
    passTime();
    // The broker is asked again at every try, and its silence explains the time before.
    await until(async () => (await health.liveness()).status === 'ok');
  });

  it('is not ready, unless it has another way in', async () => {
    const brokers = [await nowhere()];
    const checks = { kafka: { status: 'failing', reason: 'Error: the consumer is down' } };
    expect(await startMember({ brokers }).readiness()).toMatchObject({ status: 'failing', checks });
    const other = startMember({ brokers, readyWithoutKafka: true });
    expect(await other.readiness()).toMatchObject({ status: 'ok', checks });
  });
});

describe('a consumer that does not come back although the broker answers', () => {
  it('fails the liveness', async () => {
    const brokers = testBrokers();
    const health = startMember({ brokers, prefix: 'there-is-no-such-topic.' });
    const ask = createKafka({ brokers, clientId: 'spec', log });
    expect(await ask.answers()).toBe(true);
    expect(await health.liveness()).toMatchObject({ status: 'ok' });
    passTime();
    expect(await health.liveness()).toMatchObject({ status: 'failing' });
    // Through several tries of the consumer.
    for (let asked = 0; asked < 20; asked += 1) expect(await ask.answers()).toBe(true);
    expect(await health.liveness()).toMatchObject({ status: 'failing' });
  });
});
