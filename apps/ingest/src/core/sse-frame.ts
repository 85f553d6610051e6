/** Lines of a `text/event-stream`, as the HTML standard reads them. */
export interface SseEvent {
  readonly event?: string;
  readonly id?: string;
  readonly data: unknown;
}

/** One event. The data is JSON, so that no line break in a text can end a line. */
export function sseFrame(frame: SseEvent): string {
  const event = frame.event === undefined ? '' : `event: ${frame.event}\n`;
  const id = frame.id === undefined ? '' : `id: ${frame.id}\n`;
  return `${event}${id}data: ${JSON.stringify(frame.data)}\n\n`;
}

/** Tells the client how long to wait before it connects again. */
export function sseRetry(ms: number): string {
  return `retry: ${ms}\n`;
}

/** Keeps idle proxies from closing the connection; clients drop it. */
export const sseKeepAlive = ': ka\n\n';

/** What ends the article's token stream. */
export const sseDone = 'data: [DONE]\n\n';
