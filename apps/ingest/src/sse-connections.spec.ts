import { EventEmitter } from 'node:events';

import { expect, it } from '@jest/globals';
import { tenantIdSchema } from '@millrace/contracts';
import { Metrics } from '@millrace/runtime';

import { RefusedForNow } from './core/problem.ts';
import { SseConnections } from './sse-connections.ts';
import { streamSettings } from './stream-settings.ts';

class OpenResponse extends EventEmitter {
  readonly writableLength = 0;
  writeHead(): void {}
  flushHeaders(): void {}
  write(): void {}
  end(): void {}
  destroy(): void {
    this.emit('close');
  }
}

const [one, other, third] = ['one', 'other', 'third'].map((id) => tenantIdSchema.parse(id));

function set() {
  const metrics = new Metrics();
  const settings = streamSettings({ STREAMS_MAX: 3, STREAMS_PER_TENANT_MAX: 2 });
  const connections = new SseConnections(settings, metrics);
  const open = (tenant = one!) => {
    connections.assertRoom(tenant);
    const response = new OpenResponse();
    const stream = { tenant, response, from: 'beginning', lifeMs: null } as const;
    return { response, connection: connections.accept(stream) };
  };
  return { metrics, connections, open };
}

it('a tenant has its share of the process, and the process has an end', () => {
  const { open } = set();
  const [first] = [open(), open()];
  expect(() => open()).toThrow(RefusedForNow);
  open(other);
  expect(() => open(third)).toThrow('too many event streams are open here');
  first.response.destroy();
  open(third);
});

it('a stream counts until its reader has all of it', async () => {
  const { open, metrics } = set();
  const [first] = [open(), open()];
  first.connection.end('finished');
  expect(() => open()).toThrow('too many event streams of this tenant are open here');
  first.response.emit('close');
  open();
  const text = await metrics.registry.metrics();
  expect(text).toContain('millrace_streams_open 2');
  expect(text).toContain('millrace_streams_opened_total{from="beginning"} 3');
  expect(text).toContain('millrace_streams_ended_total{outcome="finished"} 1');
  expect(text).toContain('millrace_streams_refused_total{reason="tenant_full"} 1');
});

it('a stop ends them all', () => {
  const { open, connections } = set();
  const streams = [open(), open(other)];
  connections.onModuleDestroy();
  expect(streams.map(({ connection }) => connection.isOpen)).toEqual([false, false]);
});
