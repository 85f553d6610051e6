import { z } from 'zod';

import { defineCommand, type Command } from '../command.ts';
import type { KeyHolder } from '../config.ts';
import { table, type Columns } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export interface PagedList<Row> {
  /** The words that call it: `tools list`. */
  readonly name: string;
  readonly summary: string;
  readonly example?: string;
  readonly path: string;
  readonly as?: KeyHolder;
  readonly answer: z.ZodType<{ readonly data: Row[]; readonly next_cursor: string | null }>;
  readonly columns: Columns<Row>;
}

/** A command that shows a list page by page, and takes nothing that would narrow it. */
export function definePagedList<Row>(list: PagedList<Row>): Command {
  const { answer, as = 'tenant', columns, name, path, summary } = list;
  return defineCommand({
    name,
    summary,
    example: list.example ?? `millrace ${name}`,
    operands: [],
    options: z.object(pageOptions),
    run: async ({ api }, { typed, values: query }) => {
      const page = await api.ask({ method: 'GET', path, query, as, answer });
      const text = `${table(page.data, columns)}${nextPage(name, page.next_cursor, typed)}`;
      return { json: page, text };
    },
  });
}
