import { sseKeepAlive } from './core/sse-frame.ts';

/** A reader that leaves this much unread is dropped; it may connect again. */
const bufferedBytesMax = 1024 * 1024;
const keepAliveEveryMs = 15_000;

const headers = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** The part of Node's `ServerResponse` that a stream needs. */
export interface StreamedResponse {
  readonly writableLength: number;
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
  flushHeaders(): void;
  write(text: string): unknown;
  end(): unknown;
  destroy(): unknown;
  on(event: 'close' | 'error', listener: () => void): unknown;
}

/** One open event stream. Written to the response itself, so that no framework adds to it. */
export class SseConnection {
  readonly #response: StreamedResponse;
  readonly #keepAlive: NodeJS.Timeout;
  #isOpen = true;
  #onClosed: (() => void) | undefined;

  /** Sends the headers at once: a client must not wait for the first token to be connected. */
  constructor(response: StreamedResponse, more: Readonly<Record<string, string>>) {
    this.#response = response;
    response.writeHead(200, { ...headers, ...more });
    response.flushHeaders();
    response.on('error', () => this.#close());
    response.on('close', () => this.#close());
    this.#keepAlive = setInterval(() => this.write(sseKeepAlive), keepAliveEveryMs);
    this.#keepAlive.unref();
  }

  /** Called once when the stream is over, whoever ended it. */
  onClosed(listener: () => void): void {
    if (this.#isOpen) this.#onClosed = listener;
    else listener();
  }

  /** Writes unless the reader is gone. One that is too slow is dropped before it costs memory. */
  write(text: string): void {
    if (!this.#isOpen) return;
    if (this.#response.writableLength > bufferedBytesMax) {
      this.#response.destroy();
      this.#close();
      return;
    }
    this.#response.write(text);
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#response.end();
    this.#close();
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#keepAlive);
    this.#onClosed?.();
  }
}
