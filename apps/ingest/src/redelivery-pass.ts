import { PayloadCodec, type JobFinished, type OutgoingMessage } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { extractTrace, Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { toldEnd } from './core/told-end.ts';
import { DueTimer } from './due-timer.ts';
import { Announcements, Redeliveries, type EndedJobRow } from './ports.ts';

/** A step of the fleet every second: whoever looks first takes it. */
const stepEveryMs = 1_000;
/** A redelivery that another replica took in is gone on with by whoever looks next. */
const lookEveryMs = 5_000;

/**
 * Tells again how jobs ended, on every replica, a step of the fleet at a time. It starts nothing
 * and changes no job: who has seen the event drops it by its `ce_id`.
 */
@Injectable()
export class RedeliveryPass {
  private readonly timer: DueTimer;

  constructor(
    private readonly redeliveries: Redeliveries,
    private readonly announcements: Announcements,
    private readonly codec: PayloadCodec,
    private readonly log: Logger,
  ) {
    this.timer = new DueTimer({
      look: () => this.look(),
      everyMsMax: lookEveryMs,
      onError: (error) => this.log.warn({ error }, 'ends are told again later'),
    });
  }

  start(): void {
    this.timer.wakeIn(0);
  }

  /** There is one to go on with. */
  wake(): void {
    this.timer.wakeIn(0);
  }

  stop(): Promise<void> {
    return this.timer.stop();
  }

  /** @returns in how many ms to look again. */
  private async look(): Promise<number> {
    if (await this.redeliveries.isAnyRunning()) {
      await this.step();
      return stepEveryMs;
    }
    await this.redeliveries.forgetOld();
    return lookEveryMs;
  }

  private async step(): Promise<void> {
    const step = await this.redeliveries.step((job) => this.tell(job));
    if (step === null) return;
    const { messages, tenant, untold, view } = step;
    this.announcements.publish(messages);
    for (const job_id of untold) {
      this.log.error({ job_id, tenant }, 'the end of a job cannot be told from its row');
    }
    if (view.state === 'running') return;
    const { id: redelivery_id, published } = view;
    const facts = { event: names.event.redeliveryDone, tenant, redelivery_id, published };
    this.log.info(facts, 'ends were told again');
  }

  private tell(job: EndedJobRow): OutgoingMessage | null {
    const told = toldEnd(job);
    if (told === null) return null;
    const { data, route, source } = told;
    return eventMessage<JobFinished>({
      ...route,
      source,
      subject: job.id,
      time: job.finishedAt,
      tenant: job.tenant,
      data,
      codec: this.codec,
      context: extractTrace({ traceparent: job.traceparent }),
    });
  }
}
