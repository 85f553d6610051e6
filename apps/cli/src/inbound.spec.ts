import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

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

let server: Server;
let url: string;
let answer: unknown;
let asked: { readonly route: string; readonly body: unknown }[];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (bytes: Buffer) => (body += bytes.toString()));
    request.on('end', () => {
      const { method, url: route } = request;
      asked.push({ route: `${method} ${route}`, body: body === '' ? null : JSON.parse(body) });
      response.end(answer === undefined ? '' : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => void server.close());

async function typed(line: string, told?: unknown): Promise<string> {
  answer = told;
  asked = [];
  let said = '';
  await runCommandLine(line.split(' '), {
    commands,
    readConfig: () => ({ url, keyOf: (holder) => holder }),
    terminal: { out: (text) => (said += text), error: (text) => (said += text) },
  });
  return said;
}

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
    const said = await typed(line, told);
    expect(said).toContain('tickets');
    expect(said).not.toMatch(/s3cret|another-one/);
    expect(asked).toEqual([{ route, body: sent }]);
  });

  it('say where the other system is to send to', async () => {
    expect(await typed(`inbound get ${id}`, source)).toContain(source.path);
  });

  it('take one away without an answer', async () => {
    expect(await typed(`inbound delete ${id}`)).toContain('is gone');
    expect(asked[0]?.route).toBe(`DELETE ${path}`);
  });

  it('ask nothing when something is missing', async () => {
    expect(await typed('inbound create tickets --provider generic')).toContain('takes --provider');
    expect(await typed(`inbound add-secret ${id}`)).toContain('takes --secret');
    expect(await typed(`inbound change ${id}`)).toContain('takes what is to be changed');
    expect(await typed(`inbound change ${id} --enabled maybe`)).toContain('--enabled');
    expect(asked).toEqual([]);
  });
});
