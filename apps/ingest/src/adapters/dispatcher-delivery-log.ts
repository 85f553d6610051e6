import {
  deliveriesPath,
  jobDeliveriesSchema,
  type JobDeliveriesQuery,
  type JobDelivery,
} from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import type { Context } from '@opentelemetry/api';

import { DeliveryLog, type InternalService, type JobPlace } from '../ports.ts';

/** Asks webhook-dispatcher. */
export class DispatcherDeliveryLog extends DeliveryLog {
  constructor(
    private readonly dispatcher: InternalService,
    private readonly log: Logger,
  ) {
    super();
  }

  async deliveriesOf(job: JobPlace, context: Context): Promise<readonly JobDelivery[] | null> {
    const { day, id, tenant } = job;
    // In the query, where a job that is named `..` is no path.
    const query: JobDeliveriesQuery = { tenant, job_id: id, day };
    const path = deliveriesPath;
    const answer = await this.dispatcher.ask({ method: 'GET', path, query, context });
    if (answer === null) return null;
    try {
      if (answer.status !== 200) throw new TypeError(`it answered ${answer.status}`);
      return jobDeliveriesSchema.parse(JSON.parse(answer.body)).deliveries;
    } catch (error) {
      this.log.warn({ context, job_id: id, tenant, error }, 'a timeline lacks its deliveries');
      return null;
    }
  }
}
