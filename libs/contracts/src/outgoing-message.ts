/**
 * A message that is to reach a Kafka topic. Its headers are complete (CloudEvents, traceparent),
 * so that an outbox row and a direct publish send the same bytes.
 */
export interface OutgoingMessage {
  readonly topic: string;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer | null;
  /** Its name in an outbox, where topic and `ce_id` are those of a record that it repeats. */
  readonly outboxId?: string;
  /** Called once by the publisher that sent it: ends the `send` span. */
  readonly onSettled?: (error?: Error) => void;
}

/** The name under which an outbox holds a message: its topic and `ce_id`, unless it has its own. */
export function outgoingMessageId(message: OutgoingMessage): string {
  return message.outboxId ?? `${message.topic}/${message.headers['ce_id'] ?? message.key ?? ''}`;
}
