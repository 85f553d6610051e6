import { z } from 'zod';

import { flagOption, valueOption } from '../command.ts';
import type { KeyHolder } from '../config.ts';
import { instantOf, typedMomentSchema, type Moment } from '../core/moment.ts';

/** Whose letters a command is about: a tenant's own, or for the operator those of nobody. */
export const letterOwnerOption = {
  operator: flagOption('those that belong to no tenant, by the operator’s key'),
};

/** Options that say which letters are meant. */
export const letterFilterOptions = {
  code: valueOption('CODE', 'only those with this reason', z.string().min(1)),
  topic: valueOption('NAME', 'only those of this topic', z.string().min(1)),
  service: valueOption('NAME', 'only those that this service gave up', z.string().min(1)),
  from: valueOption('TIME', 'given up since: 2h, 3d or RFC 3339', typedMomentSchema),
  to: valueOption('TIME', 'given up before', typedMomentSchema),
};

/** Whose key shows the letters. */
export function letterHolder(values: { readonly operator: boolean }): KeyHolder {
  return values.operator ? 'operator' : 'tenant';
}

interface TypedFilter {
  readonly code?: string | undefined;
  readonly topic?: string | undefined;
  readonly service?: string | undefined;
  readonly from?: Moment | undefined;
  readonly to?: Moment | undefined;
}

/** What was typed, as the API takes it. */
export function letterFilter({ code, from, service, to, topic }: TypedFilter, now: Date) {
  return {
    code,
    topic,
    service,
    from: from === undefined ? undefined : instantOf(from, now),
    to: to === undefined ? undefined : instantOf(to, now),
  };
}
