import { binaryArray, elementTypes, isElementType } from './core/binary-array.ts';
import type { ElementType } from './core/binary-array.ts';

export interface ArrayQuery {
  /** Keeps the plan for the connection's life: without it each batch is planned anew. */
  readonly name?: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

const arrayCast = new RegExp(`\\$(\\d+)::(${elementTypes.join('|')})\\[\\]`, 'g');

/** Types of a statement's array parameters, by position from 0. Statements are constants: few. */
const typesByText = new Map<string, ReadonlyMap<number, ElementType>>();
const statementsKeptMax = 1_000;

/**
 * A query whose array parameters travel in the binary format. Their types are what the statement
 * itself says, as `$1::text[]`; what is cast to nothing or to another type is left to the driver.
 * A batch's columns cost less so on both sides: nothing is quoted, escaped or parsed.
 */
export function arrayQuery(query: ArrayQuery): { name?: string; text: string; values: unknown[] } {
  const types = typesOf(query.text);
  const values = query.values.map((value, index) => {
    const type = types.get(index);
    if (type === undefined || !Array.isArray(value)) return value;
    // What the type cannot hold goes as text: Postgres refuses it by a code that tells a bad row.
    return binaryArray(type, value) ?? value;
  });
  return { ...query, values };
}

function typesOf(text: string): ReadonlyMap<number, ElementType> {
  const known = typesByText.get(text);
  if (known !== undefined) return known;
  const types = new Map<number, ElementType>();
  for (const [, position = '', type = ''] of text.matchAll(arrayCast)) {
    if (isElementType(type)) types.set(Number(position) - 1, type);
  }
  if (typesByText.size >= statementsKeptMax) typesByText.clear();
  typesByText.set(text, types);
  return types;
}
