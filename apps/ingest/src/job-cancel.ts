import { isTerminal, PayloadCodec, type JobView } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { isConnectionLost } from '@millrace/postgres';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { cancelRequestOf } from './core/cancel-request.ts';
import { ProblemError } from './core/problem.ts';
import { Announcements, Clock, Jobs, type JobName, type StandingJobRow } from './ports.ts';

/**
 * Asks whoever runs a job to end it. The job ends as its runner says: what the API, the topic and
 * the webhook show is its one terminal event, a success too if that came first.
 */
@Injectable()
export class JobCancel {
  constructor(
    private readonly jobs: Jobs,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
  ) {}

  /**
   * Idempotent: asked again it is published again, and its runner knows.
   * @returns the job as it stands, or null when the tenant has none of this name.
   * @throws ProblemError `unavailable` when the wish could not be made durable.
   */
  async request(name: JobName, context: Context): Promise<JobView | null> {
    const row = await this.jobs.findStanding(name);
    if (row === null || isTerminal(row.view.status)) return row?.view ?? null;
    const message = this.messageOf(row, context);
    try {
      await this.jobs.announce(message);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      throw new ProblemError('unavailable', 'it is not known whether this was noted: ask again');
    }
    this.announcements.publish([message]);
    return row.view;
  }

  private messageOf(row: StandingJobRow, context: Context) {
    const { route, data } = cancelRequestOf(row);
    return eventMessage({
      ...route,
      source: 'ingest',
      subject: row.id,
      time: this.clock.now(),
      tenant: row.tenant,
      json: JSON.stringify(data),
      codec: this.codec,
      context,
    });
  }
}
