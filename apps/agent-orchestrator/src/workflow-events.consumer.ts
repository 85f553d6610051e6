import { topics, type ClaudeCompleted } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import type { Arrival } from './ports.ts';
import { WorkflowArrivals, type RequestRecord, type ToolRecord } from './workflow-arrivals.ts';
import { WorkflowEngine } from './workflow-engine.ts';

/** Forks and bodies that are read at once for a batch: most events need none. */
const readsMax = 16;

/**
 * All that happens to workflows: what people and sub-agents tell them, what the model answered,
 * what tools came to. One way for all of it: to the engine, and then out.
 */
@Controller()
export class WorkflowEventsConsumer {
  constructor(
    private readonly engine: WorkflowEngine,
    private readonly arrivals: WorkflowArrivals,
  ) {}

  @Step(topics.workflowsRequested)
  async requested(records: readonly RequestRecord[]): Promise<StepResult<RequestRecord>> {
    const arrivals = await inTurns(records, (record) => this.arrivals.ofRequest(record));
    return { publish: await this.engine.apply(arrivals) };
  }

  @Step(topics.claudeCompleted)
  async answered(
    records: readonly EventRecord<ClaudeCompleted>[],
  ): Promise<StepResult<EventRecord<ClaudeCompleted>>> {
    const arrivals = await inTurns(records, (record) => this.arrivals.ofCompletion(record));
    return { publish: await this.engine.apply(arrivals) };
  }

  @Step(topics.toolsCompleted)
  async toolsCompleted(records: readonly ToolRecord[]): Promise<StepResult<ToolRecord>> {
    const arrivals: Arrival[] = [];
    const deadLetters: { record: ToolRecord; code: 'bad_token'; detail: string }[] = [];
    for (const record of records) {
      const arrival = this.arrivals.ofTool(record);
      if (arrival !== null) arrivals.push(arrival);
      else deadLetters.push({ record, code: 'bad_token', detail: 'the token is of no such call' });
    }
    return { publish: await this.engine.apply(arrivals), deadLetters };
  }
}

/** In order, and a few at once: what one batch reads beside it is bounded. */
async function inTurns<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += readsMax) {
    results.push(...(await Promise.all(items.slice(at, at + readsMax).map(work))));
  }
  return results;
}
