import { inlineBodyBytesMax, type JobId } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

import { paramsBlobId } from './core/job-ids.ts';
import type { JobOrder } from './core/judge-submission.ts';
import { newJob, type Arrival, type NewJob } from './core/new-job.ts';
import { LargeBodies } from './ports.ts';

/** Makes the row of an accepted job; parameters that are too large for an event go to blobs. */
@Injectable()
export class JobPreparation {
  constructor(private readonly bodies: LargeBodies) {}

  async prepare(
    arrival: Arrival,
    { id, order }: { readonly id: JobId; readonly order: JobOrder },
  ): Promise<NewJob> {
    const carrier = { kind: 'inline', params: order.params } as const;
    const job = newJob(arrival, { id, order, carrier });
    // Written once for measuring and sending: only a large job is written again.
    if (Buffer.byteLength(job.firstEventJson) <= inlineBodyBytesMax) return job;
    const params = JSON.stringify(order.params);
    const ref = paramsBlobId(arrival.tenant, id, params);
    await this.bodies.keep(arrival.tenant, ref, params);
    return newJob(arrival, { id, order, carrier: { kind: 'blob', ref } });
  }
}
