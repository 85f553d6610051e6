import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const at = '2030-01-02T03:04:05.678Z';
const id = `src_${'0'.repeat(32)}`;
const path = `/v1/inbound-sources/${id}`;
const template = { prompt: '{{payload.title}}' };
const source = {
  id,
  path: `/v1/inbound/${id}`,
  name: 'tickets',
  provider: 'generic',
  template,
  secrets: 1,
  enabled: true,
  created_at: at,
  changed_at: at,
};

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());

describe('commands about sources of webhooks', () => {
  const given = `--provider generic --secret s3cret-s3cret --template ${JSON.stringify(template)}`;
  const body = { name: 'tickets', provider: 'generic', secret: 's3cret-s3cret', template };
  it.each([
    ['inbound list', 'GET /v1/inbound-sources', null, { data: [source], next_cursor: null }],
    [`inbound get ${id}`, `GET ${path}`, null, source],
    [`inbound create tickets ${given}`, 'POST /v1/inbound-sources', body, source],
    [
      `inbound create tickets ${given} --events a,b --signature-header X-S --delivery-header X-Id`,
      'POST /v1/inbound-sources',
      { ...body, events: ['a', 'b'], signature_header: 'X-S', delivery_header: 'X-Id' },
      source,
    ],
    [
      `inbound add-secret ${id} --secret another-one`,
      `POST ${path}/secrets`,
      { secret: 'another-one', keep_previous: true },
      source,
    ],
    [
      `inbound add-secret ${id} --secret another-one --drop-previous`,
      `POST ${path}/secrets`,
      { secret: 'another-one', keep_previous: false },
      source,
    ],
    [
      `inbound change ${id} --name tickets --events a,b --template ${JSON.stringify(template)}`,
      `PATCH ${path}`,
      { name: 'tickets', events: ['a', 'b'], template },
      source,
    ],
    [
      `inbound change ${id} --events all --enabled false`,
      `PATCH ${path}`,
      { events: null, enabled: false },
      source,
    ],
    [`inbound change ${id} --enabled true`, `PATCH ${path}`, { enabled: true }, source],
  ])('%s is %s', async (line, route, sent, told) => {
    const said = await cli.said(line, told);
    expect(said).toContain('tickets');
    expect(said).not.toMatch(/s3cret|another-one/);
    expect([cli.routes, cli.bodies]).toEqual([[route], [sent]]);
  });

  it('say where the other system is to send to', async () => {
    expect(await cli.said(`inbound get ${id}`, source)).toContain(source.path);
  });

  it('take one away without an answer', async () => {
    expect(await cli.said(`inbound delete ${id}`)).toContain('is gone');
    expect(cli.routes[0]).toBe(`DELETE ${path}`);
  });

  it('ask nothing when something is missing', async () => {
    const said = await cli.said('inbound create tickets --provider generic');
    expect(said).toContain('takes --provider');
    expect(await cli.said(`inbound add-secret ${id}`)).toContain('takes --secret');
    expect(await cli.said(`inbound change ${id}`)).toContain('takes what is to be changed');
    expect(await cli.said(`inbound change ${id} --enabled maybe`)).toContain('--enabled');
    expect(cli.asked).toEqual([]);
  });
});
