import { PayloadCodec, topics, type WorkflowRequested } from '@millrace/contracts';
import { eventMessage, Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { decide } from './core/decide.ts';

/**
 * Answers each requested workflow. There is nothing to load or to commit yet: the input log is the
 * state, and the strategy publishes before it moves the offset.
 */
@Controller()
export class WorkflowRequestsConsumer {
  constructor(private readonly codec: PayloadCodec) {}

  @Step(topics.workflowsRequested)
  async handle(
    records: readonly EventRecord<WorkflowRequested>[],
  ): Promise<StepResult<EventRecord<WorkflowRequested>>> {
    return { publish: records.map((record) => this.answer(record)) };
  }

  private answer({ data, timestampMs, context }: EventRecord<WorkflowRequested>) {
    const requestedAt = new Date(timestampMs);
    const { eventId, finished } = decide(data, requestedAt);
    return eventMessage({
      topic: topics.jobsFinished,
      type: 'millrace.job.failed.v1',
      id: eventId,
      source: 'agent-orchestrator',
      subject: finished.job_id,
      key: finished.job_id,
      time: requestedAt,
      tenant: finished.tenant,
      data: finished,
      codec: this.codec,
      context,
    });
  }
}
