import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  IdentityPayloadCodec,
  deadLettersOf,
  tenantIdSchema,
  topicOfTenant,
  topics,
} from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { testBrokers } from '@millrace/testing';
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { ulid } from 'ulid';

import { createKafka } from './adapters/kafkajs-client.ts';
import { KafkajsTopicCreation } from './adapters/kafkajs-topic-creation.ts';
import { Publisher } from './publisher.ts';
import type { RawRecord } from './records.ts';
import { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(60_000);

const log = new SilentLogger();
const row = topics.tenantSubmitted;
const acme = tenantIdSchema.parse('acme');
const globex = tenantIdSchema.parse('globex');
const connection = { brokers: testBrokers(), prefix: `t${ulid().toLowerCase()}.`, log };
const kafka = createKafka({ ...connection, clientId: 'spec' });
const creation = new KafkajsTopicCreation({ ...connection, clientId: 'spec' });
const outside = new Kafka({ brokers: testBrokers(), logLevel: logLevel.NOTHING });
const admin = outside.admin();
let producer: Producer;
const members: StepsStrategy[] = [];

beforeAll(async () => {
  producer = outside.producer();
  await Promise.all([producer.connect(), admin.connect()]);
  const rows = [row, deadLettersOf(row)];
  const wanted = [acme, globex].flatMap((of) => rows.map((one) => topicOfTenant(one, of)));
  // Two replicas at once, and once more.
  await Promise.all([creation.create(wanted), creation.create(wanted)]);
  await creation.create(wanted);
});

afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.close()));
});

afterAll(async () => {
  await producer.disconnect();
  await admin.disconnect();
});

/** A process whose step over the tenants' topics notes what it gets. */
function startMember(seen: string[]): StepsStrategy {
  const member = new StepsStrategy({
    kafka,
    log,
    publisher: new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() }),
    codec: new IdentityPayloadCodec(),
    metrics: new Metrics(),
    groupId: `group.${ulid()}`,
    service: 'ingest',
    handles: [row],
  });
  members.push(member);
  const note = (records: readonly RawRecord[]) => {
    seen.push(...records.map(({ topic, value }) => `${topic} ${String(value)}`));
    return Promise.resolve({});
  };
  member.addHandler(row.name, note, true, { 'millrace.step': { topic: row, form: 'raw' } });
  member.listen((error) => expect(error).toBeUndefined());
  return member;
}

async function send(tenant: string, value: string): Promise<void> {
  const topic = `${connection.prefix}t.${tenant}.jobs.submitted.v1`;
  await producer.send({ topic, messages: [{ key: 'k', value }] });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('topics of tenants', () => {
  it('are created with the settings of their row, however often', async () => {
    const name = `${connection.prefix}t.acme.jobs.submitted.v1`;
    const { topics: described } = await admin.fetchTopicMetadata({ topics: [name] });
    expect(described[0]?.partitions).toHaveLength(row.partitions);
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: `${name}.dlq`, configNames: ['max.message.bytes'] }],
    });
    expect(resources[0]?.configEntries[0]?.configValue).toBe('1310720');
  });

  it('are followed while the service runs, left, and taken up where they stood', async () => {
    const seen: string[] = [];
    const member = startMember(seen);
    const ofAcme = { row, tenant: acme };
    const ofGlobex = { row, tenant: globex };
    await member.follow([ofAcme]);
    await send('acme', '1');
    await until(() => seen.length === 1);

    await member.follow([ofGlobex]);
    await send('acme', '2');
    await send('globex', '3');
    await until(() => seen.length === 2);
    await member.follow([ofAcme, ofGlobex]);
    await until(() => seen.length === 3);
    await member.follow([ofGlobex, ofAcme]);
    await send('globex', '4');
    await until(() => seen.length === 4);
    expect(seen).toEqual([
      't.acme.jobs.submitted.v1 1',
      't.globex.jobs.submitted.v1 3',
      't.acme.jobs.submitted.v1 2',
      't.globex.jobs.submitted.v1 4',
    ]);
  });

  it('are followed as said last, and not at all after the end', async () => {
    const seen: string[] = [];
    const member = startMember(seen);
    const all = [acme, globex].map((tenant) => ({ row, tenant }));
    await Promise.all([member.follow(all), member.follow([]), member.follow(all)]);
    await until(() => seen.length >= 4);
    await member.close();
    await member.follow([]);
    await member.follow(all);
    await send('acme', '5');
    expect(seen.filter((one) => one.endsWith(' 5'))).toEqual([]);
  });

  it('of a row without a step are refused', async () => {
    const member = startMember([]);
    const letters = { row: deadLettersOf(row), tenant: acme };
    await expect(member.follow([letters])).rejects.toThrow('no row that has a step here');
    await member.follow([]);
  });
});
