import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const at = '2030-01-02T03:04:05.678Z';
const id = `ep_${'0'.repeat(26)}`;
const endpoint = {
  id,
  url: 'https://example.com/hook',
  description: '',
  event_types: [],
  payload: 'full',
  headers: { 'X-Door': '[redacted]' },
  rate_per_second: null,
  in_flight_max: 10,
  timeout_seconds: 15,
  retry_schedule_seconds: null,
  status: 'enabled',
  disabled_reason: null,
  status_changed_at: at,
  health: {
    closed_until: null,
    closed_why: null,
    last_success_at: null,
    failing_since: null,
    failures: 0,
  },
  secrets: [{ created_at: at, expires_at: null }],
  version: 1,
  created_at: at,
  changed_at: at,
};
const withSecret = { ...endpoint, secret: 'whsec_c2VjcmV0' };
const delivery = {
  id: `msg_1.${id}`,
  webhook_id: 'msg_1',
  endpoint: id,
  url: endpoint.url,
  event_type: 'millrace.job.failed.v1',
  job_id: 'job-1',
  status: 'dead',
  attempts: 10,
  next_attempt_at: null,
  created_at: at,
  ended_at: at,
  replayed_at: null,
  code: 'delivery_exhausted',
};
const attempt = {
  number: 1,
  outcome: 'retry',
  class: 'server_error',
  http_status: 500,
  started_at: at,
  ended_at: at,
  timings_ms: { total: 12.3 },
  response_excerpt: 'oh no\u001b[2J',
};

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());

const path = `/v1/webhook-endpoints/${id}`;

describe('commands about webhook endpoints', () => {
  const page = { data: [endpoint], next_cursor: null };
  it.each([
    ['webhooks list', 'GET /v1/webhook-endpoints', null, page],
    [`webhooks get ${id}`, `GET ${path}`, null, endpoint],
    [
      `webhooks create ${endpoint.url} --events millrace.job.failed.v1 --in-flight 5 --rate 2`,
      'POST /v1/webhook-endpoints',
      {
        url: endpoint.url,
        event_types: ['millrace.job.failed.v1'],
        in_flight_max: 5,
        rate_per_second: 2,
      },
      withSecret,
    ],
    [
      `webhooks change ${id} --timeout 5 --events all --headers {"X-Door":null}`,
      `PATCH ${path}`,
      { timeout_seconds: 5, event_types: [], headers: { 'X-Door': null } },
      endpoint,
    ],
    [
      `webhooks rotate-secret ${id} --expire-previous 60`,
      `POST ${path}/rotate-secret`,
      { expire_previous_in_seconds: 60 },
      withSecret,
    ],
    [`webhooks pause ${id}`, `POST ${path}/pause`, null, endpoint],
    [`webhooks resume ${id}`, `POST ${path}/resume`, null, endpoint],
    [`webhooks enable ${id}`, `POST ${path}/enable`, null, endpoint],
  ])('%s is %s', async (line, route, body, answer) => {
    expect(await cli.said(line, answer)).toContain(endpoint.url);
    expect([cli.routes, cli.bodies]).toEqual([[route], [body]]);
  });

  it('show a new secret on a line of its own', async () => {
    const said = await cli.said(`webhooks create ${endpoint.url}`, withSecret);
    expect(said.split('\n')).toContain('whsec_c2VjcmV0');
  });

  it('say where the test of one is read', async () => {
    const told = { delivery_id: delivery.id, webhook_id: 'x' };
    const said = await cli.said(`webhooks test ${id}`, told);
    expect(said).toContain(`millrace deliveries attempts ${delivery.id}`);
  });

  it('take one away without an answer', async () => {
    expect(await cli.said(`webhooks delete ${id}`)).toContain('is gone');
    expect(cli.routes[0]).toBe(`DELETE ${path}`);
  });

  it('recover from a moment on, and say how to go on', async () => {
    const told = { replayed: 1_000, more: true, until: at };
    const said = await cli.said(`webhooks recover ${id} --since ${at}`, told);
    expect([cli.routes, cli.bodies]).toEqual([[`POST ${path}/recover`], [{ since: at }]]);
    expect(said).toContain(`--until ${at}`);
    expect(await cli.said(`webhooks recover ${id}`)).toContain('takes --since');
  });
});

describe('commands about deliveries', () => {
  it('list those that fit', async () => {
    const page = { data: [delivery], next_cursor: null };
    const line = `deliveries list --endpoint ${id} --status dead --job job-1 --since ${at}`;
    expect(await cli.said(line, page)).toContain('job-1');
    const query = `endpoint=${id}&since=${encodeURIComponent(at)}&status=dead&job_id=job-1`;
    expect(cli.routes[0]).toBe(`GET /v1/deliveries?${query}`);
  });

  it('show one, and send it again', async () => {
    const said = await cli.said(`deliveries get ${delivery.id}`, delivery);
    expect(said).toContain('delivery_exhausted');
    await cli.said(`deliveries replay ${delivery.id}`, delivery);
    expect(cli.routes[0]).toBe(`POST /v1/deliveries/${delivery.id}/replay`);
  });

  it('show what was answered, but nothing that a terminal would obey', async () => {
    const said = await cli.said(`deliveries attempts ${delivery.id}`, { data: [attempt] });
    expect(said).toContain('oh no');
    expect(said).not.toContain('\u001b');
  });

  it('send all again, page after page, none of them twice', async () => {
    const first = { replayed: 1_000, more: true, until: at };
    const said = await cli.said(
      `deliveries replay --all --since ${at} --status stopped`,
      first,
      { ...first, replayed: 3, more: false },
    );
    expect(said).toContain('1003 sent again');
    expect(cli.bodies).toEqual([
      { since: at, status: 'stopped' },
      { since: at, status: 'stopped', until: at },
    ]);
  });
});
