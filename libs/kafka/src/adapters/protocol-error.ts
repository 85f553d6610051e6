/** Causes that are looked through: kafkajs wraps an error once per retrier. */
const causesMax = 8;

/** The broker's error code in a kafkajs error, such as `MESSAGE_TOO_LARGE`. */
export function protocolErrorOf(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < causesMax; depth += 1) {
    if (typeof current !== 'object' || current === null) return undefined;
    if ('type' in current && typeof current.type === 'string') return current.type;
    current = 'cause' in current ? current.cause : undefined;
  }
  return undefined;
}
