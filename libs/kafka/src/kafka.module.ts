import { PayloadCodec } from '@millrace/contracts';
import type { Topic } from '@millrace/contracts';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { Health, Logger, Metrics, ServiceInfo, ServiceTransport } from '@millrace/runtime';
import type { CommonConfig } from '@millrace/runtime';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaOptions } from './adapters/kafkajs-client.ts';
import { KafkajsTopicCreation } from './adapters/kafkajs-topic-creation.ts';
import { KafkaClient } from './client.ts';
import { Publisher } from './publisher.ts';
import { StepsStrategy } from './steps-strategy.ts';
import { TopicCreation } from './topic-creation.ts';

export interface KafkaModuleOptions {
  readonly config: Pick<CommonConfig, 'KAFKA_BROKERS'>;
  /** Topics that this service reads by a `TopicTail`, and which therefore need no `@Step`. */
  readonly tails?: readonly Topic[];
  /** Whether the service takes work without its partitions, as one with another way in does. */
  readonly readyWithoutKafka?: boolean;
  /** Before every topic and group on the broker: for specs that share one. */
  readonly prefix?: string;
  /** Before every group alone: for specs whose processes die without giving their partitions up. */
  readonly groupPrefix?: string;
}

/** The client, the publisher and the steps' transport of a service. Global, like the runtime. */
@Module({})
export class KafkaModule implements OnApplicationShutdown {
  constructor(private readonly publisher: Publisher) {}

  static forService(options: KafkaModuleOptions): DynamicModule {
    return {
      module: KafkaModule,
      global: true,
      providers: [
        {
          provide: KafkaClient,
          inject: [ServiceInfo, Logger],
          useFactory: (info: ServiceInfo, log: Logger) =>
            createKafka(clientOptions(options, info, log)),
        },
        {
          provide: TopicCreation,
          inject: [ServiceInfo, Logger],
          useFactory: (info: ServiceInfo, log: Logger) =>
            new KafkajsTopicCreation(clientOptions(options, info, log)),
        },
        {
          provide: Publisher,
          inject: [KafkaClient, Logger, Metrics],
          useFactory: createPublisher,
        },
        {
          provide: StepsStrategy,
          inject: [KafkaClient, Publisher, ServiceInfo, Logger, Metrics, PayloadCodec, Health],
          useFactory: (
            kafka: KafkaClient,
            publisher: Publisher,
            info: ServiceInfo,
            log: Logger,
            metrics: Metrics,
            codec: PayloadCodec,
            health: Health,
          ) =>
            new StepsStrategy({
              kafka,
              publisher,
              log,
              metrics,
              codec,
              health,
              groupId: info.name,
              service: info.name,
              readyWithoutKafka: options.readyWithoutKafka ?? false,
              ...(options.tails === undefined ? {} : { tails: options.tails }),
            }),
        },
        { provide: ServiceTransport, useExisting: StepsStrategy },
      ],
      exports: [KafkaClient, Publisher, StepsStrategy, ServiceTransport, TopicCreation],
    };
  }

  /** After the transport and the work queues, which publish until their end. */
  async onApplicationShutdown(): Promise<void> {
    await this.publisher.disconnect();
  }
}

function clientOptions(
  options: KafkaModuleOptions,
  info: ServiceInfo,
  log: Logger,
): KafkaOptions {
  return {
    brokers: options.config.KAFKA_BROKERS,
    clientId: info.name,
    log,
    ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
    ...(options.groupPrefix === undefined ? {} : { groupPrefix: options.groupPrefix }),
  };
}

function createPublisher(kafka: KafkaClient, log: Logger, metrics: Metrics): Publisher {
  const publisher = new Publisher({ kafka, log, metrics, name: 'main' });
  // Ahead of the first message; while Kafka is not up yet, the first publish connects instead.
  publisher.connect().catch(() => {});
  return publisher;
}
