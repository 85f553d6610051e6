import { webhookEventTypeSchema } from '@millrace/contracts';
import { z } from 'zod';

import { valueOption } from '../command.ts';
import { jsonText } from './json-text.ts';

const typesText = z
  .string()
  .transform((text) => (text === 'all' ? [] : text.split(',')))
  .pipe(z.array(webhookEventTypeSchema));

/** What may be said of an endpoint, by who makes it or changes it. */
export const endpointOptions = {
  events: valueOption('TYPES', 'what it is told, comma-separated, or all', typesText),
  payload: valueOption('KIND', 'full, or thin: without the result', z.enum(['full', 'thin'])),
  description: valueOption('TEXT', 'for people', z.string()),
  headers: valueOption('JSON', 'sent along: {"name": "value"}', jsonText),
  timeout: valueOption('SECONDS', 'what it has to answer in', z.coerce.number()),
  'in-flight': valueOption('N', 'attempts at once', z.coerce.number()),
  rate: valueOption('N', 'attempts a second, at most', z.coerce.number()),
  schedule: valueOption('JSON', 'seconds before each attempt: [0, 5, 60]', jsonText),
};

type TypedSettings = {
  readonly [Name in keyof typeof endpointOptions]?: z.infer<(typeof endpointOptions)[Name]>;
};

/** What was typed, as the API takes it; what was not is left out. */
export function endpointSettings(typed: TypedSettings) {
  return {
    event_types: typed.events,
    payload: typed.payload,
    description: typed.description,
    headers: typed.headers,
    timeout_seconds: typed.timeout,
    in_flight_max: typed['in-flight'],
    rate_per_second: typed.rate,
    retry_schedule_seconds: typed.schedule,
  };
}
