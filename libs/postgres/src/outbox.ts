import { outgoingMessageId } from '@millrace/contracts';
import type { OutgoingMessage } from '@millrace/contracts';
import { failpoint } from '@millrace/runtime';
import type { Pool, PoolClient } from 'pg';

import { sweepBytesMax, SweepPlan } from './core/sweep-plan.ts';
import { GroupCommit } from './group-commit.ts';
import { inTransaction } from './pool.ts';

/** Messages of this process between commit and deletion; what comes above is left to the sweep. */
const inFlightMessagesMax = 10_000;
/** Of their values while Kafka is waited for: as much as a publisher's own queue. */
const publishingBytesMax = 64 * 1024 * 1024;
/** Deletions gather so long: nobody waits for them, and the sweep looks only after a second. */
const deletionLinger = { busyPerSecond: 0, lingerMs: 100 };
const sweepEveryMsDefault = 1_000;
const sweepAfterMsDefault = 1_000;

export interface OutboxOptions {
  readonly pool: Pool;
  readonly schema: string;
  /** Resolves when Kafka has acknowledged all of them. */
  readonly publish: (messages: readonly OutgoingMessage[]) => Promise<void>;
  /** Whether a failed `publish` said of its messages that they never can be. */
  readonly isRefusal: (error: unknown) => boolean;
  /** Told of every failure; nothing is lost by one, the sweep tries again. */
  readonly onError: (error: unknown) => void;
  readonly sweepEveryMs?: number;
  /** Age of a row that the sweep takes up. */
  readonly sweepAfterMs?: number;
}

/** A row goes by the id that it has, and not by one that its message would give. */
interface OutboxRow extends OutgoingMessage {
  readonly id: string;
}

/**
 * Messages that were committed with the state they tell of (`outboxInsertSql`), on their way to
 * Kafka.
 *
 * O1 A row is deleted only after Kafka has acknowledged its message: nothing is lost. A crash
 *    between the two publishes it again, with the same `ce_id`.
 * O2 A row that nobody deleted within `sweepAfterMs` is published by the sweep of any process; two
 *    sweeps never hold the same row, since its lock is kept until the deletion has committed.
 * O3 The sweep passes over what this process is publishing or deleting itself.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #deletions: GroupCommit<string, void>;
  readonly #plan = new SweepPlan();
  /** Ids that this process is publishing, or has published and not yet deleted (O3). */
  readonly #inFlight = new Set<string>();
  /** Published, but their deletion failed: deleted again by the next sweep. */
  readonly #undeleted = new Set<string>();
  readonly #publishing = new Set<Promise<void>>();
  #publishingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #sweeping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    const { schema, pool } = options;
    this.#deletions = new GroupCommit({
      name: `${schema} outbox deletion`,
      pool,
      keyOf: (id) => id,
      linger: deletionLinger,
      commit: async (client, ids) => {
        await deleteRows(client, schema, ids);
        return ids.map(() => undefined);
      },
    });
  }

  /** Sweeps now and then every second. */
  start(): void {
    this.#schedule(0);
  }

  /**
   * Sends what was just committed, and deletes it when Kafka has it. Call it right after the
   * commit. Never throws: what fails is left to the sweep.
   */
  publish(messages: readonly OutgoingMessage[]): void {
    if (messages.length === 0) return;
    if (this.#stopped || !this.#hasRoomFor(messages)) {
      for (const { onSettled } of messages) onSettled?.(new Error('left to the outbox sweep'));
      return;
    }
    const publishing = this.#send(messages).finally(() => this.#publishing.delete(publishing));
    this.#publishing.add(publishing);
  }

  /** One publish is always let in, or a message above the limit would be left to the sweep. */
  #hasRoomFor(messages: readonly OutgoingMessage[]): boolean {
    if (this.#inFlight.size + messages.length > inFlightMessagesMax) return false;
    const bytes = this.#publishingBytes + bytesOf(messages);
    return bytes <= publishingBytesMax || this.#publishingBytes === 0;
  }

  /** Resolves when what was handed to `publish` is sent and deleted, or left to the sweep. */
  async flush(): Promise<void> {
    while (this.#publishing.size > 0) await Promise.all(this.#publishing);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#sweeping;
    await this.flush();
    await this.#deletions.close();
  }

  async #send(messages: readonly OutgoingMessage[]): Promise<void> {
    const ids = messages.map(outgoingMessageId);
    const bytes = bytesOf(messages);
    for (const id of ids) this.#inFlight.add(id);
    this.#publishingBytes += bytes;
    try {
      await failpoint('outbox.publishing');
      await this.#options.publish(messages);
      await failpoint('outbox.published');
    } catch (error) {
      for (const id of ids) this.#inFlight.delete(id);
      this.#options.onError(error);
      return;
    } finally {
      this.#publishingBytes -= bytes;
    }
    await this.#delete(ids);
  }

  async #delete(ids: readonly string[]): Promise<void> {
    const deletions = await this.#deletions.submitAll(ids);
    const failures = new Set<unknown>();
    deletions.forEach((deletion, i) => {
      const id = ids[i] ?? '';
      if (deletion.status === 'fulfilled') {
        this.#inFlight.delete(id);
        this.#undeleted.delete(id);
      } else {
        this.#undeleted.add(id);
        failures.add(deletion.reason);
      }
    });
    for (const failure of failures) this.#options.onError(failure);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#sweeping = this.#sweep()
        .catch((error: unknown) => this.#options.onError(error))
        .finally(() => this.#schedule(this.#options.sweepEveryMs ?? sweepEveryMsDefault));
    }, delayMs);
  }

  async #sweep(): Promise<void> {
    if (this.#undeleted.size > 0) await this.#delete([...this.#undeleted]);
    let more = true;
    while (more && !this.#stopped) more = await this.#sweepOnce();
  }

  /** @returns whether there may be more to sweep right now. */
  #sweepOnce(): Promise<boolean> {
    const { isRefusal, pool, schema, publish } = this.#options;
    const { limit } = this.#plan;
    return inTransaction(pool, async (client) => {
      const rows = await this.#lockRows(client, limit);
      if (rows.length === 0) return false;
      const ids = rows.map(({ id }) => id);
      try {
        await publish(rows.map(({ id: _, ...message }) => message));
      } catch (error) {
        this.#plan.failed(ids, { nowMs: performance.now(), refused: isRefusal(error) });
        throw error;
      }
      this.#plan.succeeded(ids);
      await deleteRows(client, schema, ids);
      return rows.length === limit || bytesOf(rows) >= sweepBytesMax;
    });
  }

  /** The oldest rows, up to `limit` and to the first that fills the bytes; never none for bytes. */
  async #lockRows(client: PoolClient, limit: number): Promise<OutboxRow[]> {
    const skipped = [...this.#inFlight, ...this.#plan.aside(performance.now())];
    // Not a named statement: as a constant of the plan the array of ids is hashed.
    const { rows } = await client.query<OutboxRow>(
      `WITH oldest AS (
         SELECT id, topic, key, headers, value, created_at FROM ${this.#options.schema}.outbox
         WHERE created_at < clock_timestamp() - $1::int * interval '1 ms'
           AND id <> ALL($2::text[])
         ORDER BY created_at
         LIMIT $3::int
         FOR UPDATE SKIP LOCKED
       ), counted AS (
         SELECT *, sum(octet_length(value)) OVER older AS bytes_before FROM oldest
         WINDOW older AS (
           ORDER BY created_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
       )
       SELECT id, topic, key, headers, value FROM counted
       WHERE coalesce(bytes_before, 0) < $4::int
       ORDER BY created_at, id`,
      [this.#options.sweepAfterMs ?? sweepAfterMsDefault, skipped, limit, sweepBytesMax],
    );
    return rows;
  }
}

function bytesOf(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((bytes, { value }) => bytes + (value?.length ?? 0), 0);
}

async function deleteRows(
  client: PoolClient,
  schema: string,
  ids: readonly string[],
): Promise<void> {
  await client.query({
    name: `${schema}_outbox_delete`,
    text: `DELETE FROM ${schema}.outbox WHERE id = ANY($1::text[])`,
    values: [ids],
  });
}
