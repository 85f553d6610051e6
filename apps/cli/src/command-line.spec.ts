import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';
import type { Config } from './config.ts';

const job = {
  id: 'order-1',
  type: 'message',
  status: 'succeeded',
  lane: 'standard',
  created_at: '2030-01-02T03:04:05.678Z',
  finished_at: '2030-01-02T03:04:06.678Z',
  result: 'Mills stand at rivers.',
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
};

/** What the server answers next, and what it was asked. */
let answer: { status: number; body: unknown };
let asked: IncomingMessage | undefined;
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked = request;
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => {
  server.close();
});
beforeEach(() => {
  asked = undefined;
});

function typed(line: string, at = url) {
  return typedWords(line.split(' ').filter(Boolean), at);
}

async function typedWords(words: readonly string[], at = url) {
  const said = { out: '', error: '' };
  const config: Config = { url: at, keyOf: (holder) => `mr_${holder}` };
  const status = await runCommandLine(words, {
    commands,
    readConfig: () => config,
    terminal: {
      out: (text) => void (said.out += `${text}\n`),
      error: (text) => void (said.error += `${text}\n`),
    },
  });
  return { status, ...said };
}

describe('a command that the API answers', () => {
  it('shows a person the answer, and ends with 0', async () => {
    answer = { status: 200, body: job };
    const { status, out } = await typed('jobs get order-1');
    expect(status).toBe(0);
    expect(out).toContain('succeeded');
    expect(out).toContain('Mills stand at rivers.');
    expect(asked).toMatchObject({ method: 'GET', url: '/v1/jobs/order-1' });
    expect(asked?.headers.authorization).toBe('Bearer mr_tenant');
  });

  it('shows a machine the same as JSON', async () => {
    answer = { status: 200, body: job };
    const { out } = await typed('jobs get order-1 --json');
    expect(JSON.parse(out)).toEqual(job);
  });

  it('sends what was typed as a query, and says how to see the next page', async () => {
    answer = { status: 200, body: { data: [job], next_cursor: 'abc' } };
    const { out } = await typed('jobs list --status failed --limit 2 --session s1');
    expect(asked?.url).toBe('/v1/jobs?status=failed&limit=2&session_id=s1');
    expect(out).toMatch(/^ID +TYPE +STATUS/);
    expect(out).toContain(
      'More: millrace jobs list --status failed --limit 2 --session s1 --cursor abc',
    );
  });

  it('says the next page of what was typed, as a shell takes it', async () => {
    answer = { status: 200, body: { data: [], next_cursor: 'def' } };
    const endpoint = ['--endpoint', "it's 1"];
    const { out } = await typedWords(['deliveries', 'list', '--cursor', 'abc', ...endpoint]);
    const again = String.raw`deliveries list --cursor def --endpoint 'it'\''s 1'`;
    expect(out).toContain(`More: millrace ${again}`);
  });

  it('keeps an id in its place in the path, whatever it holds', async () => {
    answer = { status: 200, body: job };
    await typed('jobs get ../api-keys?x');
    expect(asked?.url).toBe('/v1/jobs/..%2Fapi-keys%3Fx');
  });

  it('shows nothing that a terminal would obey', async () => {
    answer = { status: 200, body: { ...job, result: 'a\u001b[2Jb' } };
    const { out } = await typed('jobs get order-1');
    expect(out).not.toContain('\u001b');
  });
});

describe('a command that the API refuses', () => {
  it('says what is wrong with a field, and with the whole', async () => {
    const problem = {
      type: 'urn:millrace:error:invalid_request',
      title: 'A field is missing, unknown or of the wrong type',
      status: 400,
      detail: 'a field is missing, unknown or of the wrong type',
      code: 'invalid_request',
      errors: [
        { path: '', message: 'name a limit' },
        { path: 'usd', message: 'is too small' },
      ],
    };
    answer = { status: 400, body: problem };
    const { error } = await typed('budget job-1');
    expect(error).toContain('\n  name a limit\n  usd: is too small\n');
  });

  it('says why, one next step and the trace id, and ends with 1', async () => {
    const problem = {
      type: 'urn:millrace:error:not_found',
      title: 'There is no such thing for this tenant',
      status: 404,
      detail: 'there is no job of this id',
      code: 'not_found',
      trace_id: 'abc',
    };
    answer = { status: 404, body: problem };
    const { status, error } = await typed('jobs get nothing');
    expect(status).toBe(1);
    expect(error).toBe(
      'refused: there is no job of this id (not_found)\n' +
        'next: look up the id: millrace jobs list, or the list command of what is named\n' +
        'trace: abc\n',
    );
  });
});

it.each(['overloaded', 'queue_full'])('says of %s that it passes', async (code) => {
  answer = {
    status: 503,
    body: { type: 'about:blank', title: 'No', status: 503, detail: 'there is too much', code },
  };
  expect((await typed('jobs list')).error).toContain('next: wait a few seconds');
});

describe('a command that nobody answers', () => {
  it('says where it looked and the trace id, and ends with 3', async () => {
    const { status, error } = await typed('jobs list', 'http://127.0.0.1:1');
    expect(status).toBe(3);
    expect(error).toMatch(/^nobody answers at http:\/\/127\.0\.0\.1:1\nnext: .*\ntrace: \w{32}\n$/);
  });

  it.each([
    [200, 'no JSON'],
    [200, { id: 1 }],
    [502, '<html>'],
  ])('holds an answer of %p with %p for no answer', async (status, body) => {
    answer = { status, body };
    expect(await typed('jobs get order-1')).toMatchObject({ status: 3 });
  });
});

describe('a command that is typed wrongly', () => {
  it.each([
    ['nothing that is known', 'bake bread'],
    ['an id too few', 'jobs get'],
    ['an id too many', 'jobs get a b'],
    ['an unknown option', 'jobs list --colour red'],
    ['an option without its value', 'jobs list --status'],
    ['a value that does not fit', 'jobs list --limit many'],
  ])('with %s ends with 2 and asks nothing', async (_what, line) => {
    const { status, error } = await typed(line);
    expect(status).toBe(2);
    expect(error).toMatch(/\nnext: millrace .*--help\n$/);
    expect(asked).toBeUndefined();
  });
});

describe('help', () => {
  it('lists every command', async () => {
    const { status, out } = await typed('--help');
    expect(status).toBe(0);
    for (const { name } of commands) expect(out).toContain(`  ${name} `);
  });

  it('of a word that begins several commands lists those', async () => {
    const { status, out } = await typed('dead-letters --help');
    expect(status).toBe(0);
    expect(out).toContain('  dead-letters redrive ');
    expect(out).not.toContain('  jobs list ');
  });

  it.each(commands.map(({ name }) => name))('of %s shows an example of it', async (name) => {
    const { status, out } = await typed(`${name} --help`);
    expect(status).toBe(0);
    expect(out).toContain(`Usage: millrace ${name}`);
    expect(out).toContain(`Example: millrace ${name}`);
  });
});
