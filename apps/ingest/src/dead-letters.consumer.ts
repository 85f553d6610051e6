import { deadLettersOf, topics } from '@millrace/contracts';
import { RawStep, type RawRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { indexedLetter } from './core/dead-letter.ts';
import { DeadLetters } from './ports.ts';

/** Indexes what lies in the dead letter topics. A letter read again is the row that it was. */
@Controller()
export class DeadLettersConsumer {
  constructor(private readonly letters: DeadLetters) {}

  @RawStep(deadLettersOf(topics.jobsSubmitted))
  submitted(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.index(records);
  }

  @RawStep(deadLettersOf(topics.tenantSubmitted))
  submittedByTenants(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.index(records);
  }

  @RawStep(deadLettersOf(topics.jobsFinished))
  finished(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.index(records);
  }

  @RawStep(deadLettersOf(topics.claudeRequested))
  requested(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.index(records);
  }

  @RawStep(deadLettersOf(topics.toolsCompleted))
  toolsCompleted(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    return this.index(records);
  }

  private async index(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    await this.letters.index(records.map((record) => indexedLetter(record)));
    return {};
  }
}
