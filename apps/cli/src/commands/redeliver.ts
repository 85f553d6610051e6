import { setTimeout } from 'node:timers/promises';

import { redeliveryViewSchema, type RedeliveryView } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf, type Api } from '../api.ts';
import { defineCommand, flagOption, valueOption } from '../command.ts';
import { instantOf, typedMomentSchema } from '../core/moment.ts';
import { redeliveryText } from '../core/redelivery-text.ts';
import { UsageError } from '../core/usage-error.ts';

/** Between two looks: it goes on by a step a second. */
const lookEveryMs = 1_000;

export const redeliver = defineCommand({
  name: 'redeliver',
  summary: 'Tell again how jobs ended: publish the ends since a time once more, none is run again',
  example: 'millrace redeliver --since 2h --wait',
  operands: [],
  options: z.object({
    since: valueOption('TIME', 'needed: 2h, 3d or RFC 3339, up to 29 days ago', typedMomentSchema),
    until: valueOption('TIME', 'ends before then (now)', typedMomentSchema),
    wait: flagOption('until it is done, and tell how far it is'),
  }),
  run: async ({ api, note, now }, { values }) => {
    const { since, until, wait } = values;
    if (since === undefined) throw new UsageError('--since: must be given');
    const started = await api.ask({
      method: 'POST',
      path: '/v1/redeliveries',
      body: {
        since: instantOf(since, now),
        ...(until === undefined ? {} : { until: instantOf(until, now) }),
      },
      answer: redeliveryViewSchema,
    });
    const shown = wait ? await whenDone(api, started, note) : started;
    const more = wait ? '' : `\n\nSee: millrace redeliveries get ${shown.id}`;
    return { json: shown, text: `${redeliveryText(shown)}${more}` };
  },
});

/** Whoever stops waiting stops nothing: it goes on. */
async function whenDone(
  api: Api,
  started: RedeliveryView,
  note: (line: string) => void,
): Promise<RedeliveryView> {
  note(`${started.id} runs`);
  let seen = started;
  while (seen.state === 'running') {
    await setTimeout(lookEveryMs);
    const path = pathOf('v1', 'redeliveries', started.id);
    const now = await api.ask({ method: 'GET', path, answer: redeliveryViewSchema });
    if (now.published !== seen.published) note(`${now.published} published`);
    seen = now;
  }
  return seen;
}
