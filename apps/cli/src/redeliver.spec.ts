import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

const running = {
  id: `rdl_${'0'.repeat(32)}`,
  state: 'running',
  since: '2030-01-02T03:04:05.000Z',
  until: '2030-01-02T05:04:05.000Z',
  published: 0,
  created_at: '2030-01-02T05:04:05.000Z',
};
const done = {
  ...running,
  state: 'done',
  published: 7,
  finished_at: '2030-01-02T05:04:07.000Z',
};

let server: Server;
let url: string;
/** What was asked, and what is answered from now on. */
let asked: { line: string; body: string }[] = [];
let answers: object[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      asked.push({ line: `${request.method} ${request.url}`, body });
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answers.length > 1 ? answers.shift() : answers[0]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => {
  server.close();
});
beforeEach(() => {
  asked = [];
});

async function typed(line: string) {
  const said = { out: '', error: '' };
  const status = await runCommandLine(line.split(' '), {
    commands,
    readConfig: () => ({ url, keyOf: () => 'mr_key' }),
    terminal: {
      out: (text) => void (said.out += `${text}\n`),
      error: (text) => void (said.error += `${text}\n`),
    },
  });
  return { status, ...said };
}

describe('redeliver', () => {
  it('asks once for the ends since a time ago, and says where to look', async () => {
    answers = [running];
    const before = Date.now();
    const { out, status } = await typed('redeliver --since 2h');
    expect(status).toBe(0);
    expect(asked.map((request) => request.line)).toEqual(['POST /v1/redeliveries']);
    const { since } = JSON.parse(asked[0]?.body ?? '');
    const agoMs = before - Date.parse(since);
    expect(Math.abs(agoMs - 2 * 3_600_000)).toBeLessThan(10_000);
    expect(out).toContain(`See: millrace redeliveries get ${running.id}`);
  });

  it('that waits tells how far it is until it is done', async () => {
    answers = [running, { ...running, published: 3 }, done];
    const since = '2030-01-02T03:04:05Z';
    const line = `redeliver --since ${since} --until 2030-01-02T05:04:05Z --wait --json`;
    const { error, out, status } = await typed(line);
    expect(status).toBe(0);
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ since, until: '2030-01-02T05:04:05Z' });
    expect(error).toBe(`${running.id} runs\n3 published\n7 published\n`);
    expect(JSON.parse(out)).toEqual(done);
  });

  it.each(['redeliver', 'redeliver --since long-ago'])('typed as %p asks nothing', async (line) => {
    const { error, status } = await typed(line);
    expect(status).toBe(2);
    expect(error).toContain('--since: must be');
    expect(asked).toEqual([]);
  });
});

describe('redeliveries', () => {
  it('are listed and shown', async () => {
    answers = [{ data: [running, done], next_cursor: null }];
    expect((await typed('redeliveries list')).out).toMatch(/^ID +STATE +SINCE +UNTIL +PUBLISHED\n/);
    answers = [done];
    expect((await typed(`redeliveries get ${done.id}`)).out).toMatch(/published +7\n/);
  });
});
