import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { toolSubmissionBytesMax } from '@millrace/contracts';

import { FakeInternalService, internalKey } from './internal-service.fixture.ts';
import { RunningIngest } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

let ingest: RunningIngest;
/** A fake of tool-runner. */
let registry: FakeInternalService;

beforeAll(async () => {
  registry = await FakeInternalService.start();
  ingest = await RunningIngest.start({
    MILLRACE_TOOL_RUNNER_URL: registry.url,
    MILLRACE_INTERNAL_KEY: internalKey,
  });
});

afterAll(async () => {
  registry.stop();
  await ingest?.stop();
});

beforeEach(() => {
  registry.answers(() => ({ status: 200, body: { name: 'look', version: 1 } }));
});

const problem = (code: string, more: object = {}) => ({ code, detail: 'as it said', ...more });

describe('/v1/tools', () => {
  it.each([
    ['GET', '/v1/tools?limit=5&cursor=abc', '/internal/tenants/default/tools?limit=5&cursor=abc'],
    ['GET', '/v1/tools/look', '/internal/tenants/default/tools/look'],
    ['PUT', '/v1/tools/look', '/internal/tenants/default/tools/look'],
    ['DELETE', '/v1/tools/look', '/internal/tenants/default/tools/look'],
  ])('%s %s is handed on under the tenant of the key', async (method, path, asked) => {
    const body = method === 'PUT' ? { description: 'd', target: { kind: 'worker' } } : undefined;
    const answer = await ingest.call(method, path, { body });
    expect([answer.status, answer.body]).toEqual([200, { name: 'look', version: 1 }]);
    expect(registry.asked).toHaveLength(1);
    const [seen] = registry.asked;
    expect([seen?.method, `${seen?.url.pathname}${seen?.url.search}`]).toEqual([method, asked]);
    expect(seen?.body).toBe(body === undefined ? '' : JSON.stringify(body));
    expect(seen?.headers.authorization).toBeUndefined();
    expect(seen?.headers['traceparent']).toMatch(/^00-/);
  });

  it('asks for the tools of whose key it is', async () => {
    await ingest.call('GET', '/v1/tools/look', { asOther: true });
    expect(registry.asked[0]?.url.pathname).toBe('/internal/tenants/other/tools/look');
  });

  it('answers as the registry did, with and without a body', async () => {
    registry.answers(() => ({ status: 201, body: { name: 'new' } }));
    const made = await ingest.call('PUT', '/v1/tools/new', { body: {} });
    expect([made.status, made.body]).toEqual([201, { name: 'new' }]);
    registry.answers(() => ({ status: 204 }));
    const gone = await ingest.call('DELETE', '/v1/tools/new');
    expect([gone.status, gone.body]).toEqual([204, undefined]);
  });

  it('tells a problem of the registry as a problem of its own', async () => {
    const errors = [{ path: 'input_schema', message: 'is needed' }];
    registry.answers(() => ({ status: 400, body: problem('invalid_request', { errors }) }));
    const bad = await ingest.call('PUT', '/v1/tools/look', { body: {} });
    expect(bad.status).toBe(400);
    expect(bad.headers.get('content-type')).toContain('application/problem+json');
    expect(bad.body).toMatchObject({ code: 'invalid_request', errors, instance: '/v1/tools/look' });
    registry.answers(() => ({ status: 404, body: problem('not_found') }));
    expect((await ingest.call('GET', '/v1/tools/gone')).status).toBe(404);
  });

  it.each([
    ['does not know the key', { status: 401, body: problem('unauthorized') }],
    ['answers what is no problem document', { status: 500, body: 'oops' }],
    ['says another status than its code has', { status: 400, body: problem('not_found') }],
    ['does not answer', { silent: true }],
  ])('says that it cannot be asked when the registry %s', async (_what, told) => {
    registry.answers(() => told);
    const { status, body, headers } = await ingest.call('GET', '/v1/tools');
    expect([status, body.code]).toEqual([503, 'unavailable']);
    expect(headers.get('retry-after')).toBe('2');
    expect(body.detail).not.toContain('as it said');
  });

  it.each([
    ['GET', '/v1/tools/..%2F..%2Fsecrets', undefined, 400],
    ['GET', '/v1/tools/9', undefined, 400],
    ['GET', '/v1/tools?tenant=other', undefined, 400],
    ['PUT', '/v1/tools/look', { description: 'x'.repeat(toolSubmissionBytesMax) }, 413],
  ])('asks nobody for %s %s', async (method, path, body, status) => {
    expect((await ingest.call(method, path, { body })).status).toBe(status);
    expect(registry.asked).toEqual([]);
  });
});
