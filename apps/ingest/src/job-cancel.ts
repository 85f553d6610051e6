import { isTerminal, jobDayOf, PayloadCodec, type JobView } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { isConnectionLost } from '@millrace/postgres';
import { extractTrace } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { cancelRequestOf } from './core/cancel-request.ts';
import { finishedView } from './core/job-view.ts';
import { ProblemError } from './core/problem.ts';
import { EndTelemetry } from './end-telemetry.ts';
import { endedUnreleased } from './job-end.ts';
import {
  Announcements,
  Clock,
  Jobs,
  JobTimelines,
  Releases,
  type JobName,
  type KeptEvent,
  type StandingJobRow,
} from './ports.ts';

/**
 * Ends a job that waits, and asks whoever runs a job that was released to end it. That ends as its
 * runner says: what the API, the topic and the webhook show is its one terminal event, a success
 * too if that came first.
 */
@Injectable()
export class JobCancel {
  constructor(
    private readonly jobs: Jobs,
    private readonly releases: Releases,
    private readonly timelines: JobTimelines,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
    private readonly telemetry: EndTelemetry,
  ) {}

  /**
   * Idempotent: asked again it is published again, and its runner knows.
   * @returns the job as it stands, or null when the tenant has none of this name.
   * @throws ProblemError `unavailable` when the wish could not be made durable.
   */
  async request(name: JobName, context: Context): Promise<JobView | null> {
    const row = await this.jobs.findStanding(name);
    if (row === null) return null;
    if (isTerminal(row.view.status)) return this.jobs.find(name);
    await durably(this.timelines.keep([this.eventOf(row)]));
    if (!row.waits) return this.requestOf(row, context);
    const ended = await this.endWaiting(row);
    if (ended !== null) return ended;
    // Somebody was quicker: it is released, or has ended.
    const found = await this.jobs.findStanding(name);
    if (found === null) return null;
    if (isTerminal(found.view.status)) return this.jobs.find(name);
    return this.requestOf(found, context);
  }

  /** @returns the job as it ended, or null when it did not wait any more. */
  private async endWaiting(row: StandingJobRow): Promise<JobView | null> {
    const told = endedUnreleased(row, 'cancelled', { at: this.clock.now(), codec: this.codec });
    if (!(await durably(this.releases.end(told)))) return null;
    this.announcements.publish([told.message]);
    this.telemetry.ended(told.finished, extractTrace({ traceparent: row.traceparent }));
    return finishedView(row.view, told.finished);
  }

  private async requestOf(row: StandingJobRow, context: Context): Promise<JobView> {
    const message = this.messageOf(row, context);
    await durably(this.jobs.announce(message));
    this.announcements.publish([message]);
    return row.view;
  }

  /** The first wish stays: one that is repeated is the same event. */
  private eventOf({ id, tenant, view }: StandingJobRow): KeptEvent {
    const event = { kind: 'cancel_requested', at: this.clock.now().toISOString() } as const;
    return { tenant, id, day: jobDayOf(view.created_at), event };
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

/** @throws ProblemError `unavailable` when the answer of the database was lost. */
async function durably<T>(committed: Promise<T>): Promise<T> {
  try {
    return await committed;
  } catch (error) {
    if (!isConnectionLost(error)) throw error;
    throw new ProblemError('unavailable', 'it is not known whether this was noted: ask again');
  }
}
