import type { QueryResultRow } from 'pg';

import type { TenantDatabase } from './tenant-database.ts';

export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

export interface BoundedList {
  /** A SELECT in the order of the list, along an index, without a limit. */
  readonly walk: string;
  /** Of its parameters. */
  readonly values: readonly unknown[];
  /** Columns of the walk with the values that are asked for, and that its index does not answer. */
  readonly wanted: readonly (readonly [column: string, value: unknown])[];
  /** Of the walk's columns. */
  readonly orderBy: string;
  /** Columns of the walk that say where a row has its place. */
  readonly place: string;
  /** Rows of a page, and one more. */
  readonly limit: number;
  /** Rows that are looked at, at the most. */
  readonly lookedAt: number;
}

export interface BoundedStatements {
  readonly page: Statement;
  readonly place: Statement | null;
  /** Rows that a full page has. */
  readonly limit: number;
}

/**
 * The statements of a list whose filters no index answers: `page` looks for its rows among the
 * first `lookedAt`, and `place` says where that ended, so that the next request can look on: a
 * tenant may have millions of rows, and none that is asked for. Null: nothing is looked for.
 */
export function boundedList(list: BoundedList): BoundedStatements {
  const { limit, lookedAt, orderBy, place, walk, wanted } = list;
  const values = [...list.values];
  const given = (value: unknown): string => `$${values.push(value)}`;
  if (wanted.length === 0) {
    return { page: { text: `${walk} LIMIT ${given(limit)}`, values }, place: null, limit };
  }
  // A parameter: a number would be above all that the planner expects, and have it sort them.
  const looked = `FROM (${walk} LIMIT ${given(lookedAt)}) AS looked`;
  const last = [...values, lookedAt - 1];
  const conditions = wanted.map(([column, value]) => `${column} = ${given(value)}`);
  const text = `SELECT * ${looked}
WHERE ${conditions.join(' AND ')}
ORDER BY ${orderBy}
LIMIT ${given(limit)}`;
  return {
    page: { text, values },
    place: { text: `SELECT ${place} ${looked} OFFSET $${last.length}`, values: last },
    limit,
  };
}

/**
 * A page of such a list, and where the look for more was given up: null when there are no others,
 * or when the page is full.
 */
export async function readBoundedList<Row extends QueryResultRow, Place extends QueryResultRow>(
  database: TenantDatabase,
  tenant: string,
  { limit, page, place }: BoundedStatements,
): Promise<{ readonly rows: Row[]; readonly lookedUntil: Place | null }> {
  const { rows } = await database.query<Row>(tenant, page);
  if (place === null || rows.length >= limit) return { rows, lookedUntil: null };
  const last = await database.query<Place>(tenant, place);
  return { rows, lookedUntil: last.rows[0] ?? null };
}
