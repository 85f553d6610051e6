import { KafkaModule } from '@millrace/kafka';
import { Module, type DynamicModule } from '@nestjs/common';

import type { Config } from './config.ts';
import { WorkflowRequestsConsumer } from './workflow-requests.consumer.ts';

export interface AgentOrchestratorOptions {
  /** Before every topic and group on the broker: for specs that share one. */
  readonly kafkaPrefix?: string;
}

@Module({})
export class AgentOrchestratorModule {
  static forConfig(config: Config, options: AgentOrchestratorOptions = {}): DynamicModule {
    const { kafkaPrefix } = options;
    const kafka = kafkaPrefix === undefined ? { config } : { config, prefix: kafkaPrefix };
    return {
      module: AgentOrchestratorModule,
      imports: [KafkaModule.forService(kafka)],
      controllers: [WorkflowRequestsConsumer],
    };
  }
}
