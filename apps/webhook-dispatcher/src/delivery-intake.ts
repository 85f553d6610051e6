import { BadRowError } from '@millrace/postgres';
import { WorkQueue } from '@millrace/work';

import type { Delivery, NewDelivery } from './core/delivery.ts';
import { LaneBook } from './core/lane-book.ts';
import { LaneSlots } from './core/lane-slots.ts';
import { Deliveries, type Ending, type Inserted } from './ports.ts';

/** Deliveries of one insert: an event of a tenant with many endpoints is as many rows. */
export const intakeRowsMax = 5_000;

/** Takes new deliveries in: one batched insert, at once as ours where there is room for them. */
export class DeliveryIntake {
  constructor(
    private readonly deliveries: Deliveries,
    private readonly queue: WorkQueue<Delivery, Ending>,
    private readonly slots: LaneSlots,
    private readonly book: LaneBook,
  ) {}

  /** @returns what the database refused, by id. @throws when it cannot be reached. */
  async take(deliveries: readonly NewDelivery[]): Promise<ReadonlyMap<string, BadRowError>> {
    const refused = new Map<string, BadRowError>();
    for (let at = 0; at < deliveries.length; at += intakeRowsMax) {
      const some = deliveries.slice(at, at + intakeRowsMax);
      for (const [id, error] of await this.insert(some)) refused.set(id, error);
    }
    return refused;
  }

  private async insert(
    deliveries: readonly NewDelivery[],
  ): Promise<ReadonlyMap<string, BadRowError>> {
    const reservation = this.queue.reserve(deliveries.length);
    const { owner, granted } = reservation;
    try {
      const placed = this.place(deliveries, owner, granted);
      const results = await this.deliveries.insert(placed);
      const started: Delivery[] = [];
      let isLeft = false;
      placed.forEach((delivery, i) => {
        const inserted = insertedOf(results[i]);
        if (inserted?.kind === 'left') isLeft = true;
        if (inserted?.kind === 'ours') started.push({ ...delivery, owner, sight: inserted.sight });
      });
      reservation.start(started);
      if (isLeft) this.queue.wake();
      return refusedOf(placed, results);
    } finally {
      reservation.release();
    }
  }

  /** Gives free slots to deliveries in order, but none above the share of its lane or tenant. */
  private place(
    deliveries: readonly NewDelivery[],
    owner: string,
    granted: number,
  ): NewDelivery[] {
    const nowMs = Date.now();
    const plan = this.slots.plan(performance.now());
    let taken = 0;
    return deliveries.map((delivery) => {
      const isNow = delivery.firstAfterMs === 0 && !this.book.isClosed(delivery, nowMs);
      if (!isNow || taken >= granted || !plan.take(delivery, delivery.terms)) return delivery;
      taken += 1;
      return { ...delivery, owner };
    });
  }
}

function insertedOf(result: PromiseSettledResult<Inserted> | undefined): Inserted | null {
  return result?.status === 'fulfilled' ? result.value : null;
}

function refusedOf(
  deliveries: readonly NewDelivery[],
  results: readonly PromiseSettledResult<Inserted>[],
): ReadonlyMap<string, BadRowError> {
  const refused = new Map<string, BadRowError>();
  results.forEach((result, i) => {
    if (result.status === 'fulfilled') return;
    if (!(result.reason instanceof BadRowError)) throw result.reason;
    const id = deliveries[i]?.id;
    if (id !== undefined) refused.set(id, result.reason);
  });
  return refused;
}
