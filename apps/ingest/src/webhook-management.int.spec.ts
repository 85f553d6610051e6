import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { endpointSubmissionBytesMax } from '@millrace/contracts';

import { FakeInternalService, internalKey } from './internal-service.fixture.ts';
import { RunningIngest } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const endpoint = `ep_${'0'.repeat(25)}1`;
const delivery = `msg_abc.${endpoint}`;
const internal = '/internal/tenants/default';
const endpoints = `${internal}/webhook-endpoints`;

let ingest: RunningIngest;
/** A fake of webhook-dispatcher. */
let dispatcher: FakeInternalService;

beforeAll(async () => {
  dispatcher = await FakeInternalService.start();
  ingest = await RunningIngest.start({
    MILLRACE_DISPATCHER_URL: dispatcher.url,
    MILLRACE_INTERNAL_KEY: internalKey,
  });
});
afterAll(async () => {
  dispatcher.stop();
  await ingest?.stop();
});
beforeEach(() => {
  dispatcher.answers(() => ({ status: 200, body: { id: endpoint } }));
});

describe('webhook endpoints and deliveries', () => {
  const body = { url: 'https://example.com/hook' };
  const query = `?endpoint=${endpoint}&status=dead&job_id=j&limit=5`;
  it.each([
    ['GET', '/v1/webhook-endpoints?limit=5', `${endpoints}?limit=5`, undefined],
    ['POST', '/v1/webhook-endpoints', endpoints, body],
    ['GET', `/v1/webhook-endpoints/${endpoint}`, `${endpoints}/${endpoint}`, undefined],
    ['PATCH', `/v1/webhook-endpoints/${endpoint}`, `${endpoints}/${endpoint}`, body],
    ['DELETE', `/v1/webhook-endpoints/${endpoint}`, `${endpoints}/${endpoint}`, undefined],
    ...['test', 'pause', 'resume', 'enable'].map(
      (action): [string, string, string, undefined] => [
        'POST',
        `/v1/webhook-endpoints/${endpoint}/${action}`,
        `${endpoints}/${endpoint}/${action}`,
        undefined,
      ],
    ),
    ...['rotate-secret', 'recover'].map((action): [string, string, string, object] => [
      'POST',
      `/v1/webhook-endpoints/${endpoint}/${action}`,
      `${endpoints}/${endpoint}/${action}`,
      { any: 1 },
    ]),
    ['GET', `/v1/deliveries${query}`, `${internal}/deliveries${query}`, undefined],
    ['GET', `/v1/deliveries/${delivery}`, `${internal}/deliveries/${delivery}`, undefined],
    [
      'GET',
      `/v1/deliveries/${delivery}/attempts`,
      `${internal}/deliveries/${delivery}/attempts`,
      undefined,
    ],
    [
      'POST',
      `/v1/deliveries/${delivery}/replay`,
      `${internal}/deliveries/${delivery}/replay`,
      undefined,
    ],
    ['POST', '/v1/deliveries:replay', `${internal}/deliveries/replay`, { since: 'x' }],
  ])('%s %s is handed on under the tenant of the key', async (method, path, asked, given) => {
    const answer = await ingest.call(method, path, given === undefined ? {} : { body: given });
    expect([answer.status, answer.body]).toEqual([200, { id: endpoint }]);
    const [seen] = dispatcher.asked;
    expect([seen?.method, `${seen?.url.pathname}${seen?.url.search}`]).toEqual([method, asked]);
    expect(seen?.body).toBe(given === undefined ? '' : JSON.stringify(given));
    expect(seen?.headers.authorization).toBeUndefined();
    expect(seen?.headers['traceparent']).toMatch(/^00-/);
  });

  it("are those of whose key it is, and the operator's are none", async () => {
    await ingest.call('GET', '/v1/deliveries', { asOther: true });
    expect(dispatcher.asked[0]?.url.pathname).toBe('/internal/tenants/other/deliveries');
  });

  it('says where an endpoint is that was made', async () => {
    dispatcher.answers(() => ({ status: 201, body: { id: endpoint, secret: 'whsec_x' } }));
    const made = await ingest.call('POST', '/v1/webhook-endpoints', { body });
    expect([made.status, made.headers.get('location')]).toEqual([
      201,
      `/v1/webhook-endpoints/${endpoint}`,
    ]);
    expect(made.body).toEqual({ id: endpoint, secret: 'whsec_x' });
  });

  it('tells a problem of the dispatcher as its own', async () => {
    const problem = { code: 'not_enabled', detail: 'enable it first' };
    dispatcher.answers(() => ({ status: 409, body: problem }));
    const path = `/v1/webhook-endpoints/${endpoint}/pause`;
    const { status, body: told } = await ingest.call('POST', path);
    expect([status, told]).toEqual([409, expect.objectContaining({ ...problem, instance: path })]);
  });

  it('says that nobody can be asked while the dispatcher is away', async () => {
    dispatcher.answers(() => ({ status: 500, body: 'oops' }));
    const { status, body: told } = await ingest.call('GET', '/v1/deliveries');
    expect([status, told.code]).toEqual([503, 'unavailable']);
  });

  it.each([
    ['GET', '/v1/webhook-endpoints/..%2F..%2Fdeliveries', undefined, 404],
    ['GET', '/v1/webhook-endpoints/ep_1', undefined, 404],
    ['GET', '/v1/webhook-endpoints?tenant=other', undefined, 400],
    ['POST', `/v1/webhook-endpoints/${endpoint}/destroy`, undefined, 404],
    ['GET', '/v1/deliveries/job_1', undefined, 404],
    ['GET', '/v1/deliveries?tenant=other', undefined, 400],
    ['GET', '/v1/deliveries?status=dead&status=waiting', undefined, 400],
    [
      'POST',
      '/v1/webhook-endpoints',
      { url: 'x'.repeat(endpointSubmissionBytesMax) },
      413,
    ],
  ])('asks nobody for %s %s', async (method, path, given, status) => {
    const answer = await ingest.call(method, path, given === undefined ? {} : { body: given });
    expect(dispatcher.asked).toEqual([]);
    expect(answer.status).toBe(status);
  });
});
