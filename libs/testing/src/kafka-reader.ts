import type { Consumer, KafkaMessage } from 'kafkajs';
import { Kafka, logLevel } from 'kafkajs';
import { ulid } from 'ulid';

import { testBrokers } from './kafka-topics.ts';

export interface ReadMessage {
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Everything in a topic, from its beginning, as an outside client sees it. */
export class KafkaReader {
  readonly messages: ReadMessage[] = [];
  private readonly changed: (() => void)[] = [];
  private readonly consumer: Consumer;
  private isStopped = false;

  constructor(
    private readonly topic: string,
    brokers: string[] = testBrokers(),
  ) {
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
    const groupId = `reader.${ulid()}`;
    // One that crashed before its stop would be started again for ever.
    const retry = { restartOnFailure: () => Promise.resolve(!this.isStopped) };
    const options = { groupId, maxWaitTimeInMs: 100, allowAutoTopicCreation: false, retry };
    this.consumer = kafka.consumer(options);
  }

  async start(): Promise<this> {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic: this.topic, fromBeginning: true });
    await this.consumer.run({
      autoCommit: false,
      eachMessage: ({ partition, message }) => {
        this.messages.push(readMessage(partition, message));
        for (const tell of this.changed.splice(0)) tell();
        return Promise.resolve();
      },
    });
    return this;
  }

  /** Resolves when so many messages were read, or a condition holds for them. */
  async waitFor(
    condition: number | ((messages: readonly ReadMessage[]) => boolean),
  ): Promise<readonly ReadMessage[]> {
    const holds =
      typeof condition === 'number' ? () => this.messages.length >= condition : condition;
    while (!holds(this.messages)) {
      await new Promise<void>((resolve) => this.changed.push(resolve));
    }
    return this.messages;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.consumer.disconnect();
  }
}

function isNoFunction(value: unknown): boolean {
  return typeof value !== 'function';
}

function readMessage(partition: number, message: KafkaMessage): ReadMessage {
  // kafkajs adds what every object has of a header's name, as `constructor`.
  const texts = Object.entries(message.headers ?? {}).map(
    ([name, value]): [string, string] => [name, String([value].flat().filter(isNoFunction))],
  );
  return {
    partition,
    offset: message.offset,
    key: message.key,
    value: message.value,
    headers: Object.fromEntries(texts),
  };
}
