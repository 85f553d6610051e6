import { EventEmitter } from 'node:events';

import { expect, it } from '@jest/globals';

import { SseConnection } from './sse-connection.ts';

/** A response whose reader takes nothing. */
class StuckResponse extends EventEmitter {
  writableLength = 0;
  written = 0;
  isDestroyed = false;
  head: unknown;

  writeHead(status: number, headers: unknown): void {
    this.head = { status, headers };
  }
  flushHeaders(): void {}
  write(text: string): void {
    this.written += 1;
    this.writableLength += text.length;
  }
  end(): void {}
  destroy(): void {
    this.isDestroyed = true;
  }
}

function opened(): { response: StuckResponse; connection: SseConnection; closed: () => number } {
  const response = new StuckResponse();
  const connection = new SseConnection(response, { 'x-a': 'b' });
  let closed = 0;
  connection.onClosed(() => (closed += 1));
  return { response, connection, closed: () => closed };
}

it('a reader that leaves more than 1 MiB unread is dropped, and nothing more is written', () => {
  const { response, connection, closed } = opened();
  connection.write('x'.repeat(1024 * 1024));
  connection.write('x');
  expect(response.isDestroyed).toBe(false);
  connection.write('x');
  connection.write('x');
  expect([response.isDestroyed, response.written, closed()]).toEqual([true, 2, 1]);
});

it('one event larger than that reaches a reader that keeps up', () => {
  const { response, connection } = opened();
  connection.write('x'.repeat(3 * 1024 * 1024));
  expect([response.isDestroyed, response.written]).toEqual([false, 1]);
});

it('a reader that goes away is noted once', () => {
  const { response, closed } = opened();
  response.emit('close');
  response.emit('close');
  expect(closed()).toBe(1);
});
