import { describe, expect, it } from '@jest/globals';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';

import { createLogger } from './logger.ts';
import { NestLogger } from './nest-logger.ts';
import { extractTrace, injectTrace } from './tracing.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function setUp(level: 'debug' | 'info' = 'info') {
  const written: string[] = [];
  const destination = { write: (line: string) => void written.push(line) };
  const log = createLogger({ service: 'ingest', level, destination });
  const lines = (): Record<string, unknown>[] => written.map((line) => parse(line));
  return { log, written, lines };
}

function parse(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line);
  return { ...(typeof value === 'object' ? value : {}) };
}

describe('a log line', () => {
  it('is one JSON object with the trace of the context it is given', () => {
    const { log, written, lines } = setUp();
    const context = extractTrace({ traceparent });
    log.child({ queue: 'calls' }).info({ context, job_id: 'j1' }, 'a job\nended');
    expect(written).toHaveLength(1);
    expect(written[0]?.trimEnd()).not.toContain('\n');
    expect(lines()[0]).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      service: 'ingest',
      queue: 'calls',
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      span_id: 'b7ad6b7169203331',
      job_id: 'j1',
      message: 'a job\nended',
    });
  });

  it('tells an error with its type', () => {
    const { log, lines } = setUp();
    log.error({ error: new TypeError('broken') }, 'it broke');
    expect(lines()[0]).toMatchObject({ error: { type: 'TypeError', message: 'broken' } });
  });

  it('of a normal Nest boot is debug output', () => {
    const quiet = setUp();
    new NestLogger(quiet.log).log('Mapped {/v1/jobs, POST} route', 'RouterExplorer');
    expect(quiet.written).toHaveLength(0);
    const chatty = setUp('debug');
    new NestLogger(chatty.log).error(new Error('boom'), 'stack', 'Module');
    expect(chatty.lines()[0]).toMatchObject({ level: 'error', nest: 'Module', message: 'boom' });
  });
});

describe('trace headers', () => {
  it('pass through, with the state of other vendors', () => {
    const headers = { traceparent, tracestate: 'vendor=1' };
    expect(injectTrace(extractTrace(headers))).toEqual(headers);
  });

  it('that are not valid are no trace', () => {
    expect(trace.getSpanContext(extractTrace({ traceparent: 'nonsense' }))).toBeUndefined();
    expect(injectTrace(ROOT_CONTEXT)).toEqual({});
  });
});
