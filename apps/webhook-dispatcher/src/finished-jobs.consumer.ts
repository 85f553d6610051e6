import { redriveHeader, topics, type JobFinished } from '@millrace/contracts';
import { decodeEvent, RawStep, type RawRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { injectTrace, names } from '@millrace/runtime';
import { OriginSlots, WorkQueue } from '@millrace/work';
import { Controller } from '@nestjs/common';
import { trace } from '@opentelemetry/api';

import type { Delivery, NewDelivery } from './core/delivery.ts';
import { newDelivery } from './core/new-delivery.ts';
import type { Outcome } from './core/outcome.ts';
import { Deliveries } from './ports.ts';
import { DispatcherSettings } from './settings.ts';

type BadRecords = NonNullable<StepResult<RawRecord>['deadLetters']>;

/** A record and the delivery it asks for. */
interface Intake {
  readonly record: RawRecord;
  readonly delivery: NewDelivery;
}

/**
 * Turns finished jobs into deliveries. It takes records raw, because a delivery keeps its record's
 * own bytes for the day it is given up.
 */
@Controller()
export class FinishedJobsConsumer {
  constructor(
    private readonly deliveries: Deliveries,
    private readonly queue: WorkQueue<Delivery, Outcome>,
    private readonly slots: OriginSlots,
    private readonly settings: DispatcherSettings,
  ) {}

  @RawStep(topics.jobsFinished)
  async handle(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    const { intakes, deadLetters } = this.read(records);
    const refused = intakes.length === 0 ? [] : await this.insert(intakes);
    await this.redrive(intakes);
    return { deadLetters: [...deadLetters, ...refused] };
  }

  private read(records: readonly RawRecord[]): { intakes: Intake[]; deadLetters: BadRecords } {
    const intakes: Intake[] = [];
    const deadLetters: BadRecords[number][] = [];
    for (const record of records) {
      // A public topic is written without our codec.
      const event = decodeEvent(topics.jobsFinished, record, (body) => body);
      if (event.kind === 'bad') {
        deadLetters.push({ record, code: event.code, detail: event.detail });
        continue;
      }
      const delivery = this.deliveryOf(record, event.id, event.data);
      if (delivery !== null) intakes.push({ record, delivery });
    }
    return { intakes, deadLetters };
  }

  private deliveryOf(record: RawRecord, eventId: string, job: JobFinished): NewDelivery | null {
    trace.getSpan(record.context)?.setAttributes({
      [names.attribute.jobId]: job.job_id,
      [names.attribute.tenantId]: job.tenant,
    });
    const { topic, partition, offset, key, headers, value } = record;
    return newDelivery(
      {
        eventId: eventId || `${job.tenant}:${job.job_id}:finished`,
        job,
        source: { topic, partition, offset },
        original: { key: key?.toString('utf8') ?? null, headers, value },
        traceHeaders: injectTrace(record.context),
      },
      { publicUrl: this.settings.publicUrl, nowMs: Date.now() },
    );
  }

  /** Wakes what was given up and is asked for again; a row that was gone is inserted by now. */
  private async redrive(intakes: readonly Intake[]): Promise<void> {
    const redrives = intakes.flatMap(({ record, delivery }) => {
      const cause = record.headers[redriveHeader];
      return cause === undefined ? [] : [{ delivery, cause }];
    });
    if (redrives.length === 0) return;
    await this.deliveries.redrive(redrives);
    this.queue.wake();
  }

  /** @returns the records whose rows the database refused. @throws when it cannot be reached. */
  private async insert(intakes: readonly Intake[]): Promise<BadRecords> {
    const reservation = this.queue.reserve(intakes.length);
    const { owner, granted } = reservation;
    try {
      const { owned, left } = this.share(intakes, owner, granted);
      const results = await this.deliveries.insert([...owned, ...left]);
      const isNew = (_: unknown, i: number) => {
        const result = results[i];
        return result?.status === 'fulfilled' && result.value;
      };
      reservation.start(owned.filter(isNew).map((delivery) => ({ ...delivery, owner })));
      if (left.length > 0) this.queue.wake();
      return refusedOf([...owned, ...left], results, intakes);
    } finally {
      reservation.release();
    }
  }

  /** Gives free slots to deliveries in order, but none above its origin's share. */
  private share(
    intakes: readonly Intake[],
    owner: string,
    granted: number,
  ): { owned: NewDelivery[]; left: NewDelivery[] } {
    const owned: NewDelivery[] = [];
    const left: NewDelivery[] = [];
    const plan = this.slots.plan(performance.now());
    for (const { delivery } of intakes) {
      if (owned.length < granted && plan.take(delivery)) owned.push({ ...delivery, owner });
      else left.push(delivery);
    }
    return { owned, left };
  }
}

function refusedOf(
  deliveries: readonly NewDelivery[],
  results: readonly PromiseSettledResult<boolean>[],
  intakes: readonly Intake[],
): BadRecords {
  const refused = new Map<string, BadRowError>();
  results.forEach((result, i) => {
    if (result.status === 'fulfilled') return;
    if (!(result.reason instanceof BadRowError)) throw result.reason;
    const id = deliveries[i]?.id;
    if (id !== undefined) refused.set(id, result.reason);
  });
  return intakes.flatMap(({ record, delivery }) => {
    const error = refused.get(delivery.id);
    if (error === undefined) return [];
    return [{ record, code: 'bad_row' as const, detail: error.message }];
  });
}
