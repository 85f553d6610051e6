import { setTimeout as delay } from 'node:timers/promises';

import { names, type Logger, type SecretBox } from '@millrace/runtime';

/** Postgres may be away for a while; nothing waits for this. */
const againMsDefault = 30_000;

export interface ResealCount {
  readonly resealed: number;
  /** Sealed under a key that this process does not have: left as it is. */
  readonly unreadable: number;
}

/** Seals what is left of one kind anew: stopped anywhere, it goes on when it is run again. */
export interface ResealPass {
  readonly name: string;
  run(isStopping: () => boolean): Promise<ResealCount>;
}

export interface SecretResealingOptions {
  readonly box: SecretBox;
  readonly passes: readonly ResealPass[];
  readonly log: Logger;
  /** Milliseconds after which a pass that failed is run again. */
  readonly againMs?: number;
}

/**
 * Seals the secrets of a service anew after its start: those that were kept before there was a key,
 * and those under a key that is not the first one any more. Then the older keys may go.
 */
export class SecretResealing {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: SecretResealingOptions) {}

  /** In the background: what is sealed under any of the keys can be read meanwhile. */
  start(): void {
    // Without a key there is nothing to seal with.
    if (this.options.box.isLocked) this.running = this.run();
  }

  /** Resolves when every pass has ended. */
  async ended(): Promise<void> {
    await this.running;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    for (const pass of this.options.passes) await this.finish(pass);
  }

  private async finish(pass: ResealPass): Promise<void> {
    const { againMs = againMsDefault, log } = this.options;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        return this.tell(pass, await pass.run(() => signal.aborted));
      } catch (error) {
        log.warn({ error, secrets: pass.name }, 'secrets are sealed anew in a moment');
        await delay(againMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Told also when there was nothing to do: then the older keys are no longer needed for these. */
  private tell({ name: secrets }: ResealPass, count: ResealCount): void {
    const { log } = this.options;
    const isOver = !this.stopping.signal.aborted;
    const facts = { event: names.event.secretsResealed, secrets, ...count, whole: isOver };
    if (count.unreadable === 0) return log.info(facts, 'secrets are sealed under the first key');
    log.error(facts, 'secrets are sealed under a key that is not in MILLRACE_SECRETS_KEY');
  }
}
