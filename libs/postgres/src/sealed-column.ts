import { UnreadableSecretError, type SecretBox } from '@millrace/runtime';
import type { Pool } from 'pg';

import { arrayQuery } from './array-query.ts';
import type { ResealCount, ResealPass } from './secret-resealing.ts';

/** Rows of one statement: some hundred KiB. */
const rowsAtOnce = 200;

/** A column in which secrets are sealed, each for a place of its own. */
export interface SealedColumn {
  readonly table: string;
  readonly column: string;
  /** Columns of the primary key: the tenant's, and the id of what it has more than one of. */
  readonly key: readonly [tenant: string, id?: string];
  readonly placeOf: (tenant: string, id: string) => string;
}

interface SealedRow {
  readonly key: string[];
  readonly sealed: Buffer;
}

interface FreshRow extends SealedRow {
  readonly fresh: Buffer;
}

/**
 * Seals a column anew, a few rows at a time. A row is written only if it is still as it was read,
 * so a change that comes between stays; and which rows are left is told by their first bytes, so
 * that it can be stopped anywhere, and run by several processes at once.
 */
export function columnReseal(o: {
  readonly pool: Pool;
  readonly box: SecretBox;
  readonly column: SealedColumn;
}): ResealPass {
  const { box, column, pool } = o;
  const run = async (isStopping: () => boolean): Promise<ResealCount> => {
    const count = { resealed: 0, unreadable: 0 };
    let after: string[] | null = null;
    while (!isStopping()) {
      const rows: SealedRow[] = await readRows(pool, { column, after, mark: box.mark });
      const opened = rows.flatMap((row) => freshOf(row, { box, column }));
      count.unreadable += rows.length - opened.length;
      count.resealed += await writeRows(pool, column, opened);
      after = rows.at(-1)?.key ?? null;
      if (rows.length < rowsAtOnce) break;
    }
    return count;
  };
  return { name: `${column.table}.${column.column}`, run };
}

async function readRows(
  pool: Pool,
  o: { readonly column: SealedColumn; readonly after: string[] | null; readonly mark: Buffer },
): Promise<SealedRow[]> {
  const { column, table } = o.column;
  const key = keyOf(o.column);
  const keys = key.join(', ');
  const last = key.map((_, index) => `$${index + 2}::text`).join(', ');
  const text = `
    SELECT ARRAY[${key.map((each) => `${each}::text`).join(', ')}] AS key, ${column} AS sealed
    FROM ${table}
    WHERE substring(${column} FROM 1 FOR ${o.mark.length}) <> $1
      AND ($2::text IS NULL OR (${keys}) > (${last}))
    ORDER BY ${keys} LIMIT ${rowsAtOnce}`;
  const values = [o.mark, ...key.map((_, index) => o.after?.[index] ?? null)];
  const { rows } = await pool.query<SealedRow>({ text, values });
  return rows;
}

/** Nothing for what cannot be opened: it stays as it is, and is counted. */
function freshOf(
  row: SealedRow,
  { box, column }: { readonly box: SecretBox; readonly column: SealedColumn },
): FreshRow[] {
  const [tenant = '', id = ''] = row.key;
  const place = column.placeOf(tenant, id);
  try {
    return [{ ...row, fresh: box.seal(box.open(row.sealed, place), place) }];
  } catch (error) {
    if (error instanceof UnreadableSecretError) return [];
    throw error;
  }
}

async function writeRows(
  pool: Pool,
  o: SealedColumn,
  rows: readonly FreshRow[],
): Promise<number> {
  if (rows.length === 0) return 0;
  const { column, table } = o;
  const key = keyOf(o);
  const params = key.map((_, index) => `$${index + 3}::text[]`).join(', ');
  const names = key.map((_, index) => `k${index}`);
  const isSame = key.map((each, index) => `row.${each} = input.k${index}`).join(' AND ');
  const text = `
    UPDATE ${table} AS row SET ${column} = input.fresh
    FROM unnest($1::bytea[], $2::bytea[], ${params}) AS input(sealed, fresh, ${names.join(', ')})
    WHERE ${isSame} AND row.${column} = input.sealed`;
  const columns = key.map((_, index) => rows.map((row) => row.key[index]));
  const values = [rows.map(({ sealed }) => sealed), rows.map(({ fresh }) => fresh), ...columns];
  const { rowCount } = await pool.query(arrayQuery({ text, values }));
  return rowCount ?? 0;
}

function keyOf({ key }: SealedColumn): string[] {
  return key.filter((each) => each !== undefined);
}
