import { setTimeout as delay } from 'node:timers/promises';

import { expect } from '@jest/globals';
import { IdentityPayloadCodec, type Topic } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';

import type { KafkaClient } from './client.ts';
import { PublishError, type Publisher } from './publisher.ts';
import type { RawRecord, StepResult } from './records.ts';
import { StepsStrategy } from './steps-strategy.ts';

export type RawHandle = (records: readonly RawRecord[]) => Promise<StepResult<RawRecord>>;

export interface RawMemberOptions {
  readonly kafka: KafkaClient;
  readonly publisher: Publisher;
  readonly topic: Topic;
  readonly groupId: string;
  readonly handle: RawHandle;
}

/** A member of a group that takes a topic's records as they came; it is returned once it joined. */
export async function startRawMember(o: RawMemberOptions): Promise<StepsStrategy> {
  const { groupId, handle, kafka, publisher, topic } = o;
  const member = new StepsStrategy({
    kafka,
    publisher,
    groupId,
    log: new SilentLogger(),
    codec: new IdentityPayloadCodec(),
    metrics: new Metrics(),
    service: 'ingest',
    handles: [topic],
  });
  member.addHandler(topic.name, handle, true, { 'millrace.step': { topic, form: 'raw' } });
  const joined = new Promise<void>((resolve) => member.on('joined', resolve));
  member.listen((error) => expect(error).toBeUndefined());
  await joined;
  return member;
}

/** Publishes as makers do: what was not acknowledged is published again, in its order. */
export async function publishUntilTaken(
  publisher: Publisher,
  { key, text, topic }: { readonly topic: Topic; readonly key: string; readonly text: string },
): Promise<void> {
  const message = { topic: topic.name, key, headers: {}, value: Buffer.from(text) };
  for (;;) {
    try {
      return await publisher.publish([message]);
    } catch (error) {
      if (!(error instanceof PublishError) || error.reason !== 'unavailable') throw error;
      await delay(50);
    }
  }
}
