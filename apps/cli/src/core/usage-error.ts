/** What was typed, or the environment, is not usable. The message says what to change. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
