import { jobSubmissionSchema, type JobBatchResult, type TenantId } from '@millrace/contracts';
import { Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { acceptedResult, refusedResult } from './core/batch-result.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { JobIntake } from './job-intake.ts';
import { sharedTrace } from './job-trace.ts';

export interface BatchSubmission {
  readonly tenant: TenantId;
  /** Not looked at yet: each is parsed by itself. */
  readonly jobs: readonly unknown[];
  readonly keyOf: (index: number) => string | null;
  /** Of the request's span. */
  readonly context: Context;
}

/** Takes many jobs in at once. They share group commits, and fail alone. */
@Injectable()
export class JobBatch {
  constructor(
    private readonly intake: JobIntake,
    private readonly log: Logger,
  ) {}

  /** Never throws: what becomes of each job stands in its result, in the order given. */
  take(batch: BatchSubmission): Promise<JobBatchResult[]> {
    const context = sharedTrace(batch.context);
    return Promise.all(batch.jobs.map((_, index) => this.takeOne({ ...batch, context }, index)));
  }

  private async takeOne(batch: BatchSubmission, index: number): Promise<JobBatchResult> {
    const { context, jobs, keyOf, tenant } = batch;
    try {
      const taken = await this.intake.take({
        tenant,
        submission: parseInput(jobSubmissionSchema, jobs[index]),
        idempotencyKey: keyOf(index),
        context,
      });
      return acceptedResult(index, taken);
    } catch (error) {
      if (error instanceof ProblemError) return refusedResult(index, error);
      const facts = { event: names.event.httpRequest, context, tenant, index };
      this.log.error({ ...facts, error }, 'a job of a batch failed');
      return refusedResult(index, new ProblemError('internal', 'this job could not be taken in'));
    }
  }
}
