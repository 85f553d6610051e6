import { sseKeepAlive } from './core/sse-frame.ts';
import type { StreamSettings } from './stream-settings.ts';

const headers = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  // A client that comes back makes a new connection, which may lead to another replica.
  connection: 'close',
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

/**
 * Why a stream is over: all was told; it has lived long enough; its reader was too slow, or went
 * away; the process stops.
 */
export type StreamEnding = 'finished' | 'cycled' | 'dropped' | 'left' | 'stopped';

type ConnectionSettings = Pick<StreamSettings, 'keepAliveMs' | 'bufferedBytesMax' | 'drainMsMax'>;

export interface SseConnectionOptions {
  readonly settings: ConnectionSettings;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds until the client is to come back; null: it could not. */
  readonly lifeMs: number | null;
}

/**
 * One open event stream. Written to the response itself, so that no framework adds to it.
 *
 * C1 It is ended between two events only: whoever comes back has whole events.
 * C2 What waits in memory for its reader is bounded, in size and, after the end, in time.
 */
export class SseConnection {
  readonly #response: StreamedResponse;
  readonly #options: SseConnectionOptions;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #cycle: NodeJS.Timeout | undefined;
  #drain: NodeJS.Timeout | undefined;
  #ending: StreamEnding | undefined;
  #isGone = false;
  #onEnded: ((ending: StreamEnding) => void)[] = [];
  #onGone: (() => void) | undefined;

  /** Sends the headers at once: a client must not wait for the first token to be connected. */
  constructor(response: StreamedResponse, options: SseConnectionOptions) {
    this.#response = response;
    this.#options = options;
    response.writeHead(200, { ...headers, ...options.headers });
    response.flushHeaders();
    response.on('error', () => this.#gone());
    response.on('close', () => this.#gone());
    const { lifeMs, settings } = options;
    this.#keepAlive = setInterval(() => this.write(sseKeepAlive), settings.keepAliveMs).unref();
    this.#cycle =
      lifeMs === null ? undefined : setTimeout(() => this.end('cycled'), lifeMs).unref();
  }

  get isOpen(): boolean {
    return this.#ending === undefined;
  }

  /** Called once when nothing more is to be written, whoever ended it; at once when it is so. */
  onEnded(listener: (ending: StreamEnding) => void): void {
    if (this.#ending === undefined) this.#onEnded.push(listener);
    else listener(this.#ending);
  }

  /** Called once when the reader has it all or is gone, and nothing is kept for it. */
  onGone(listener: () => void): void {
    if (this.#isGone) listener();
    else this.#onGone = listener;
  }

  /** Writes unless the reader is gone. One that is too slow is dropped before it costs memory. */
  write(text: string): void {
    if (this.#ending !== undefined) return;
    if (this.#response.writableLength > this.#options.settings.bufferedBytesMax) {
      this.#end('dropped');
      this.#response.destroy();
      return;
    }
    this.#response.write(text);
  }

  /** What was written still goes out, as long as the reader takes it. */
  end(ending: StreamEnding): void {
    if (this.#ending !== undefined) return;
    this.#end(ending);
    this.#response.end();
    if (this.#isGone) return;
    const { drainMsMax } = this.#options.settings;
    this.#drain = setTimeout(() => this.#response.destroy(), drainMsMax).unref();
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#drain);
    this.#end('left');
    this.#onGone?.();
  }

  #end(ending: StreamEnding): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    clearInterval(this.#keepAlive);
    clearTimeout(this.#cycle);
    for (const listener of this.#onEnded.splice(0)) listener(ending);
  }
}
