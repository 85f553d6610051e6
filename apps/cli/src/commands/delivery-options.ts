import { z } from 'zod';

import { valueOption } from '../command.ts';
import { instantOf, typedMomentSchema, type Moment } from '../core/moment.ts';

/** Options that say which deliveries are meant. */
export const deliveryFilterOptions = {
  endpoint: valueOption('ID', 'only those to this endpoint', z.string().min(1)),
  since: valueOption('TIME', 'made since: 2h, 3d or RFC 3339', typedMomentSchema),
  until: valueOption('TIME', 'made before', typedMomentSchema),
};

interface TypedFilter {
  readonly endpoint?: string | undefined;
  readonly since?: Moment | undefined;
  readonly until?: Moment | undefined;
}

/** What was typed, as the API takes it. */
export function deliveryFilter({ endpoint, since, until }: TypedFilter, now: Date) {
  return {
    endpoint,
    since: since === undefined ? undefined : instantOf(since, now),
    until: until === undefined ? undefined : instantOf(until, now),
  };
}
