import { outgoingMessageId } from '@millrace/contracts';
import type { OutgoingMessage } from '@millrace/contracts';

/** Parameters of `outboxInsertSql`: one array per column. */
export type OutboxColumns = [
  ids: string[],
  topics: string[],
  keys: (string | null)[],
  headers: string[],
  values: (Buffer | null)[],
];

/** Messages as parameters for `outboxInsertSql`. */
export function outboxColumns(messages: readonly OutgoingMessage[]): OutboxColumns {
  return [
    messages.map(outgoingMessageId),
    messages.map(({ topic }) => topic),
    messages.map(({ key }) => key),
    messages.map(({ headers }) => JSON.stringify(headers)),
    messages.map(({ value }) => value),
  ];
}

/**
 * The statement that puts messages into a schema's outbox, to stand alone or as a CTE of the one
 * that commits the state. Takes five parameters from `$firstParam` on: `outboxColumns`.
 */
export function outboxInsertSql(schema: string, firstParam: number): string {
  const param = (offset: number): string => `$${firstParam + offset}`;
  return (
    `INSERT INTO ${schema}.outbox (id, topic, key, headers, value) ` +
    'SELECT * FROM unnest(' +
    `${param(0)}::text[], ${param(1)}::text[], ${param(2)}::text[], ` +
    `${param(3)}::jsonb[], ${param(4)}::bytea[]) ON CONFLICT (id) DO NOTHING`
  );
}
