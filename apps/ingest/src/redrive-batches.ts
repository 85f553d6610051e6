import type { RedriveBatch, RedriveBatchAnswer, RedriveBatchResult } from '@millrace/contracts';
import { isConnectionLost } from '@millrace/postgres';
import { Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

import { refusedRedrive } from './core/batch-result.ts';
import { redriveSearchOf } from './core/dead-letter-query.ts';
import type { LetterOwner } from './core/dead-letter.ts';
import { encodeCursor } from './core/list-cursor.ts';
import { ProblemError } from './core/problem.ts';
import { DeadLetterRedrive } from './dead-letter-redrive.ts';
import { sharedTrace } from './job-trace.ts';
import { Clock, DeadLetters, type FoundLetter } from './ports.ts';

/** After this no letter is begun: clients and proxies wait some 30 seconds for an answer. */
const workMsMax = 10_000;

export interface BulkRedrive {
  readonly owner: LetterOwner;
  readonly asked: RedriveBatch;
  /** Of the request's span. */
  readonly context: Context;
}

/** A letter that is to be redriven. It was not named, but found, when it has a place. */
interface Chosen {
  readonly id: string;
  readonly after: number;
  readonly place: FoundLetter | null;
}

/** Letters in their order, and whether there are more than these. */
interface Choice {
  readonly letters: readonly Chosen[];
  readonly more: boolean;
}

/**
 * Redrives many letters, oldest first and one after another: records of one key go out in the
 * order in which they were given up, and one body at a time is in memory. A letter is counted as by
 * itself, so a request that is repeated goes on where the one before was cut off.
 */
@Injectable()
export class RedriveBatches {
  constructor(
    private readonly letters: DeadLetters,
    private readonly redriving: DeadLetterRedrive,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** @throws ProblemError for a cursor that no answer gave. */
  async redrive(o: BulkRedrive): Promise<RedriveBatchAnswer> {
    const now = this.clock.now();
    const { letters, more, to } = await this.choose(o, now);
    const context = sharedTrace(o.context);
    const results: RedriveBatchResult[] = [];
    const beganAt = performance.now();
    for (const chosen of letters) {
      if (results.length > 0 && performance.now() - beganAt > workMsMax) break;
      const result = await this.redriveOne({ ...o, context }, chosen);
      if (result === null && results.length === 0) throw databaseAway();
      if (result === null) break;
      results.push(result);
    }
    const isCutOff = results.length < letters.length || more;
    const last = letters[results.length - 1]?.place ?? null;
    const next_cursor =
      isCutOff && last !== null
        ? encodeCursor({ createdAtMs: last.at.getTime(), id: last.place })
        : null;
    return { results, more: isCutOff, next_cursor, to };
  }

  private async choose(o: BulkRedrive, now: Date): Promise<Choice & { readonly to: string }> {
    if ('ids' in o.asked) {
      const letters = o.asked.ids.map((id) => ({ id, after: 0, place: null }));
      return { letters, more: false, to: now.toISOString() };
    }
    const search = redriveSearchOf(o.asked, now);
    const found = await this.letters.search(o.owner, search);
    const letters = found
      .slice(0, search.limit)
      .map((place) => ({ id: place.id, after: place.redriveCount, place }));
    return { letters, more: found.length > search.limit, to: search.filter.to };
  }

  /** Null when the database was lost: nobody knows what became of this one. */
  private async redriveOne(
    o: BulkRedrive,
    { after, id }: Chosen,
  ): Promise<RedriveBatchResult | null> {
    const { context, owner } = o;
    try {
      const redriven = await this.redriving.redrive({ owner, id, after, context });
      if (redriven === null) throw new ProblemError('not_found', 'there is no such dead letter');
      const { replayed, view: redrive } = redriven;
      return { id, status: 202, redrive, ...(replayed ? { replayed } : {}) };
    } catch (error) {
      if (error instanceof ProblemError) return refusedRedrive(id, error);
      if (isConnectionLost(error)) return null;
      const facts = { event: names.event.httpRequest, context, tenant: owner, dead_letter_id: id };
      this.log.error({ ...facts, error }, 'a dead letter of many could not be redriven');
      return refusedRedrive(id, new ProblemError('internal', 'this one could not be redriven'));
    }
  }
}

function databaseAway(): ProblemError {
  return new ProblemError('unavailable', 'the database cannot be reached now: ask again');
}
