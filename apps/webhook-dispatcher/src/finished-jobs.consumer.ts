import { redriveHeader, topics, type JobFinished } from '@millrace/contracts';
import { decodeEvent, RawStep, type RawRecord, type StepResult } from '@millrace/kafka';
import { injectTrace, names } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import { Controller } from '@nestjs/common';
import { trace } from '@opentelemetry/api';

import type { Delivery, NewDelivery } from './core/delivery.ts';
import type { Endpoint } from './core/endpoint.ts';
import { newDeliveries } from './core/new-delivery.ts';
import { DeliveryIntake, intakeRowsMax } from './delivery-intake.ts';
import { Deliveries, Endpoints, type Ending } from './ports.ts';
import { DispatcherSettings } from './settings.ts';

type BadRecords = NonNullable<StepResult<RawRecord>['deadLetters']>;

/** A record and the event in it. */
interface Finished {
  readonly record: RawRecord;
  readonly eventId: string;
  readonly eventType: string;
  readonly job: JobFinished;
}

/** A record and the deliveries that it asks for. */
interface Intake {
  readonly record: RawRecord;
  readonly deliveries: readonly NewDelivery[];
}

/**
 * Turns finished jobs into deliveries: one for the job's own `callback_url`, one for each endpoint
 * of its tenant that wants it. It takes records raw, because a callback's delivery keeps its
 * record's own bytes for the day it is given up.
 */
@Controller()
export class FinishedJobsConsumer {
  constructor(
    private readonly deliveries: Deliveries,
    private readonly endpoints: Endpoints,
    private readonly intake: DeliveryIntake,
    private readonly queue: WorkQueue<Delivery, Ending>,
    private readonly settings: DispatcherSettings,
  ) {}

  @RawStep(topics.jobsFinished)
  async handle(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
    const { finished, deadLetters } = this.read(records);
    const known = await this.endpoints.ofTenants(finished.map(({ job }) => job.tenant));
    const refused: BadRecords[number][] = [];
    let intakes: Intake[] = [];
    let rows = 0;
    const take = async (): Promise<void> => {
      refused.push(...(await this.take(intakes)));
      intakes = [];
      rows = 0;
    };
    for (const each of finished) {
      const deliveries = this.deliveriesOf(each, known.get(each.job.tenant) ?? []);
      if (deliveries.length === 0) continue;
      intakes.push({ record: each.record, deliveries });
      rows += deliveries.length;
      if (rows >= intakeRowsMax) await take();
    }
    if (rows > 0) await take();
    return { deadLetters: [...deadLetters, ...refused] };
  }

  private read(records: readonly RawRecord[]): {
    finished: Finished[];
    deadLetters: BadRecords[number][];
  } {
    const finished: Finished[] = [];
    const deadLetters: BadRecords[number][] = [];
    for (const record of records) {
      // A public topic is written without our codec.
      const event = decodeEvent(topics.jobsFinished, record, (body) => body);
      if (event.kind === 'bad') {
        deadLetters.push({ record, code: event.code, detail: event.detail });
        continue;
      }
      const { data: job, id, type: eventType } = event;
      const eventId = id || `${job.tenant}:${job.job_id}:finished`;
      finished.push({ record, eventId, eventType, job });
    }
    return { finished, deadLetters };
  }

  private deliveriesOf(
    { record, eventId, eventType, job }: Finished,
    endpoints: readonly Endpoint[],
  ): NewDelivery[] {
    trace.getSpan(record.context)?.setAttributes({
      [names.attribute.jobId]: job.job_id,
      [names.attribute.tenantId]: job.tenant,
    });
    const { topic, partition, offset, key, headers, value } = record;
    return newDeliveries(
      {
        eventId,
        eventType,
        job,
        source: { topic, partition, offset },
        original: { key: key?.toString('utf8') ?? null, headers, value },
        traceHeaders: injectTrace(record.context),
      },
      { publicUrl: this.settings.publicUrl, nowMs: Date.now(), endpoints },
    );
  }

  /** @returns the records whose rows the database refused. @throws when it cannot be reached. */
  private async take(intakes: readonly Intake[]): Promise<BadRecords> {
    const refused = await this.intake.take(intakes.flatMap(({ deliveries }) => deliveries));
    await this.redrive(intakes);
    return intakes.flatMap(({ record, deliveries }) => {
      const [error] = deliveries.flatMap(({ id }) => refused.get(id) ?? []);
      if (error === undefined) return [];
      return [{ record, code: 'bad_row' as const, detail: error.message }];
    });
  }

  /** Wakes what was given up and is asked for again; a row that was gone is inserted by now. */
  private async redrive(intakes: readonly Intake[]): Promise<void> {
    const redrives = intakes.flatMap(({ record, deliveries }) => {
      const cause = record.headers[redriveHeader];
      // Dead letters are made of callbacks alone.
      const callbacks = deliveries.filter(({ endpoint }) => endpoint === null);
      return cause === undefined ? [] : callbacks.map((delivery) => ({ delivery, cause }));
    });
    if (redrives.length === 0) return;
    await this.deliveries.redrive(redrives);
    this.queue.wake();
  }
}
