import {
  deadLetterListSchema,
  jobListLimitMax,
  redriveBatchAnswerSchema,
  type DeadLetterSummary,
  type RedriveBatchResult,
} from '@millrace/contracts';
import { z } from 'zod';

import type { Api } from '../api.ts';
import { defineCommand, flagOption, type CommandContext } from '../command.ts';
import type { KeyHolder } from '../config.ts';
import { table } from '../core/table.ts';
import {
  letterFilter,
  letterFilterOptions,
  letterHolder,
  letterOwnerOption,
} from './letter-options.ts';

/** Letters of one request: its answer comes within seconds, and then there is news to tell. */
const lettersPerRequest = 200;
/** Refusals that are shown one by one. */
const refusalsShownMax = 20;

interface Refused {
  readonly id: string;
  readonly code: string;
  readonly detail: string;
}

/** Which letters, as the API takes it. */
type Filter = ReturnType<typeof letterFilter>;

interface Asked {
  readonly filter: Filter;
  readonly as: KeyHolder;
}

export const redriveDeadLetters = defineCommand({
  name: 'dead-letters redrive --all',
  summary: 'Try again all that was given up and never redriven, oldest first',
  example: 'millrace dead-letters redrive --all --topic jobs.submitted.v1 --from 2h --dry-run',
  operands: [],
  options: z.object({
    ...letterFilterOptions,
    ...letterOwnerOption,
    'dry-run': flagOption('redrive nothing, say how many there are'),
  }),
  run: async (context, { values }) => {
    const filter = letterFilter(values, context.now);
    const asked = { filter, as: letterHolder(values) };
    return values['dry-run'] ? countAll(context.api, asked) : redriveAll(context, asked);
  },
});

/** Whoever stops it and types it again goes on where it was. */
async function redriveAll({ api, note }: CommandContext, { as, filter }: Asked) {
  let redriven = 0;
  const refused: Refused[] = [];
  let place: { readonly cursor?: string; readonly to?: string } = {};
  for (;;) {
    const answer = await api.ask({
      method: 'POST',
      path: '/v1/dead-letters:redrive',
      body: { ...filter, ...place, limit: lettersPerRequest },
      as,
      answer: redriveBatchAnswerSchema,
    });
    refused.push(...answer.results.flatMap(refusalOf));
    redriven += answer.results.length - answer.results.flatMap(refusalOf).length;
    const { next_cursor: cursor, to } = answer;
    if (cursor === null) break;
    note(`${redriven} redriven, ${refused.length} refused`);
    place = { cursor, to };
  }
  const shown = refused.slice(0, refusalsShownMax);
  const rows = table(shown, {
    id: ({ id }) => id,
    code: ({ code }) => code,
    detail: ({ detail }) => detail,
  });
  const said = `${redriven} redriven, ${refused.length} refused`;
  return { json: { redriven, refused }, text: refused.length === 0 ? said : `${said}\n\n${rows}` };
}

function refusalOf(result: RedriveBatchResult): Refused[] {
  if (!('error' in result)) return [];
  const { code, detail } = result.error;
  return [{ id: result.id, code, detail }];
}

/** How many letters there are of each topic and reason. */
async function countAll(api: Api, { as, filter }: Asked) {
  const counts = new Map<string, { topic: string; code: string; letters: number }>();
  let cursor: string | undefined;
  do {
    const page = await api.ask({
      method: 'GET',
      path: '/v1/dead-letters',
      query: { ...filter, redriven: false, cursor, limit: jobListLimitMax },
      as,
      answer: deadLetterListSchema,
    });
    for (const letter of page.data) count(counts, letter);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  const found = [...counts.values()];
  const rows = table(found, {
    topic: ({ topic }) => topic,
    code: ({ code }) => code,
    letters: ({ letters }) => letters,
  });
  return { json: { would_redrive: found }, text: rows };
}

function count(
  counts: Map<string, { topic: string; code: string; letters: number }>,
  { code, topic }: DeadLetterSummary,
): void {
  const key = JSON.stringify([topic, code]);
  const letters = (counts.get(key)?.letters ?? 0) + 1;
  counts.set(key, { topic, code, letters });
}
