import {
  PayloadCodec,
  topics,
  type WorkflowCancelRequested,
  type WorkflowRequested,
} from '@millrace/contracts';
import { eventMessage, Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { decide } from './core/decide.ts';

type Requested = EventRecord<WorkflowRequested>;

function isRequest(
  record: Requested | EventRecord<WorkflowCancelRequested>,
): record is Requested {
  return record.type === 'millrace.workflow.requested.v1';
}

/**
 * Answers each requested workflow. There is nothing to load or to commit yet: the input log is the
 * state, and the strategy publishes before it moves the offset.
 */
@Controller()
export class WorkflowRequestsConsumer {
  constructor(private readonly codec: PayloadCodec) {}

  @Step(topics.workflowsRequested)
  async handle(
    records: readonly (Requested | EventRecord<WorkflowCancelRequested>)[],
  ): Promise<StepResult<Requested>> {
    // Each job ends by its request alone, at once: a cancel comes too late, or finds it ended.
    return { publish: records.filter(isRequest).map((record) => this.answer(record)) };
  }

  private answer({ data, timestampMs, context }: Requested) {
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
