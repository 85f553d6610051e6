import { createHash } from 'node:crypto';

/** 27 base64url characters are 162 bits: no two events ever share an id. */
const idLength = 27;

/**
 * The receiver's dedupe key, the same for every attempt, replay and redelivery of an event: it
 * derives from the event's `ce_id` and from nothing else.
 */
export function webhookIdOf(eventId: string): string {
  return `msg_${createHash('sha256').update(eventId).digest('base64url').slice(0, idLength)}`;
}
