/** What one process has taken on of HTTP. */
export interface HttpRoom {
  readonly requests: number;
  readonly bodyBytes: number;
}

export type Room =
  | { readonly kind: 'enough' }
  | {
      readonly kind: 'none';
      readonly reason: 'requests' | 'body_bytes';
      readonly detail: string;
      readonly retryAfterSeconds: number;
    };

/**
 * Bodies up to this size may fill all of the room, larger ones three quarters of it: a crowd of
 * large and slow ones leaves room for tens of thousands of ordinary prompts.
 */
export const ordinaryBodyBytesMax = 64 * 1024;
const largeShare = 3 / 4;
/** Requests are over within seconds: whoever comes again a moment later finds room. */
const retryAfterSecondsMin = 1;
const retryAfterSecondsMax = 5;

/**
 * Whether one more request with a body of `bytes` can be taken on.
 * @param o.random from 0 up to 1: those who were refused together do not come back together.
 */
export function roomFor(
  bytes: number,
  now: HttpRoom,
  o: {
    readonly limits: { readonly requestsMax: number; readonly bodyBytesMax: number };
    readonly random: number;
  },
): Room {
  const { bodyBytesMax, requestsMax } = o.limits;
  const spread = (retryAfterSecondsMax - retryAfterSecondsMin + 1) * o.random;
  const retryAfterSeconds = retryAfterSecondsMin + Math.floor(spread);
  // A body's own request is among those counted.
  if (bytes === 0 && now.requests >= requestsMax) {
    const detail = 'too many requests are under way here';
    return { kind: 'none', reason: 'requests', detail, retryAfterSeconds };
  }
  const share = bytes > ordinaryBodyBytesMax ? largeShare : 1;
  if (bytes > 0 && now.bodyBytes + bytes > bodyBytesMax * share) {
    const detail = 'too many large bodies are under way here';
    return { kind: 'none', reason: 'body_bytes', detail, retryAfterSeconds };
  }
  return { kind: 'enough' };
}
