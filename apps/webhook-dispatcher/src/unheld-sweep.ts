import type { Logger } from '@millrace/runtime';

import type { DeliveryQueue } from './delivery-policy.ts';
import type { Deliveries } from './ports.ts';

const everyMsDefault = 10_000;
/**
 * Younger rows may be on their way to us. An answer comes within 20 s of its statement or never
 * (the pool's limit of a query). A sweep that has looked at what is held waits up to 5 s for a
 * connection, and its own statement may begin up to 20 s later: 20 + 5 + 20.
 */
const ageMsDefault = 45_000;

export interface UnheldSweepOptions {
  readonly deliveries: Deliveries;
  readonly queue: DeliveryQueue;
  readonly log: Logger;
  readonly everyMs?: number;
  readonly ageMs?: number;
}

/**
 * Puts back deliveries that a statement gave this process and whose answer never arrived: they
 * would wait for ever, since their owner lives. Nothing of them was sent.
 */
export class UnheldSweep {
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(private readonly options: UnheldSweepOptions) {}

  start(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      void this.sweep().finally(() => this.start());
    }, this.options.everyMs ?? everyMsDefault);
    this.timer.unref();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private async sweep(): Promise<void> {
    const { deliveries, queue, log, ageMs = ageMsDefault } = this.options;
    const held = queue.held();
    if (held === null) return;
    const { owner, ids } = held;
    try {
      const released = await deliveries.releaseUnheld({ owner, held: ids, ageMs });
      if (released === 0) return;
      log.warn({ released }, 'deliveries that nobody sent were put back');
      queue.wake();
    } catch (error) {
      log.warn({ error }, 'deliveries that nobody sends cannot be looked for now');
    }
  }
}
