import { asError } from './as-error.ts';

/** What the promise comes to, or the signal's reason as soon as that aborts. */
export function within<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(asError(signal.reason)), { once: true });
    promise.then(resolve, reject);
  });
}
