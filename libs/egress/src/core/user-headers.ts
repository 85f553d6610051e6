/** Headers that are ours, or the connection's: a user's would stand beside or against them. */
const ownHeaders =
  /^(?:host|connection|content-(?:type|length|encoding)|transfer-encoding|upgrade|expect|te|trailer|accept|keep-alive|proxy-.*|webhook-.*|x-webhook-signature|idempotency-key|traceparent|tracestate|user-agent|mcp-.*|last-event-id)$/i;

/** Stands for the value of a user's header wherever it is shown: it may be a secret. */
const redactedValue = '[redacted]';

/** What is wrong with a header that a user wants to be sent along; null for nothing. */
export function userHeaderError(name: string, value: string): string | null {
  if (ownHeaders.test(name)) return 'is a header that is set here';
  if (value === redactedValue) return 'is not the value, but what stands for it where it is shown';
  return /^[\x20-\x7e]*$/.test(value) ? null : 'must be visible ASCII characters';
}

/** The same headers, with nothing of their values. */
export function withoutValues(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, redactedValue]));
}
