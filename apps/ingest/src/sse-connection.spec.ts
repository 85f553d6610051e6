import { EventEmitter } from 'node:events';

import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';

import { SseConnection } from './sse-connection.ts';

/** A response whose reader takes nothing. */
class StuckResponse extends EventEmitter {
  writableLength = 0;
  readonly written: string[] = [];
  isDestroyed = false;
  isEnded = false;
  head: unknown;

  writeHead(status: number, headers: unknown): void {
    this.head = { status, headers };
  }
  flushHeaders(): void {}
  write(text: string): void {
    this.written.push(text);
    this.writableLength += text.length;
  }
  end(): void {
    this.isEnded = true;
  }
  destroy(): void {
    this.isDestroyed = true;
    this.emit('close');
  }
}

const settings = { keepAliveMs: 15_000, bufferedBytesMax: 1024 * 1024, drainMsMax: 30_000 };

function opened(o: { lifeMs?: number } = {}) {
  const response = new StuckResponse();
  const lifeMs = o.lifeMs ?? null;
  const connection = new SseConnection(response, { settings, headers: { 'x-a': 'b' }, lifeMs });
  const told: string[] = [];
  connection.onEnded((ending) => told.push(ending));
  connection.onGone(() => told.push('gone'));
  return { response, connection, told };
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

it('a reader that leaves more than 1 MiB unread is dropped, and nothing more is written', () => {
  const { response, connection, told } = opened();
  connection.write('x'.repeat(1024 * 1024));
  connection.write('x');
  expect(response.isDestroyed).toBe(false);
  connection.write('x');
  connection.write('x');
  expect([response.isDestroyed, response.written.length]).toEqual([true, 2]);
  expect(told).toEqual(['dropped', 'gone']);
});

it('one event larger than that reaches a reader that keeps up', () => {
  const { response, connection } = opened();
  connection.write('x'.repeat(3 * 1024 * 1024));
  expect([response.isDestroyed, response.written.length]).toEqual([false, 1]);
});

it('a reader that goes away is noted once', () => {
  const { response, connection, told } = opened();
  response.emit('close');
  response.emit('close');
  connection.write('x');
  expect(told).toEqual(['left', 'gone']);
  expect(response.written).toEqual([]);
});

it('is ended for its client to come back, after the event that was written last', () => {
  const { response, connection, told } = opened({ lifeMs: 20_000 });
  connection.write('event');
  jest.advanceTimersByTime(19_999);
  expect(told).toEqual([]);
  jest.advanceTimersByTime(1);
  connection.write('late');
  expect([told, response.isEnded, response.isDestroyed]).toEqual([['cycled'], true, false]);
  expect(response.written).toEqual(['event', ': ka\n\n']);
});

it('lives on when its client could not come back', () => {
  const { told } = opened();
  jest.advanceTimersByTime(24 * 3_600_000);
  expect(told).toEqual([]);
});

it('that has ended waits for its reader no longer than 30 s', () => {
  const { response, connection, told } = opened();
  connection.write('the end');
  connection.end('finished');
  jest.advanceTimersByTime(29_999);
  expect([told, response.isDestroyed]).toEqual([['finished'], false]);
  jest.advanceTimersByTime(1);
  expect([told, response.isDestroyed]).toEqual([['finished', 'gone'], true]);
});

it('that has ended leaves nothing behind once its reader has it all', () => {
  const { response, connection, told } = opened();
  connection.end('finished');
  response.emit('close');
  jest.advanceTimersByTime(60_000);
  expect([told, response.isDestroyed]).toEqual([['finished', 'gone'], false]);
  expect(jest.getTimerCount()).toBe(0);
});
