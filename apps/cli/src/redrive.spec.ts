import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

const to = '2030-01-02T05:04:05.000Z';
const redrive = { dead_letter_id: 'dl_1', redrive_count: 1, redriven_at: to };
const done = { id: 'dl_1', status: 202, redrive };
const refused = { id: 'dl_2', status: 400, error: { code: 'invalid_request', detail: 'not text' } };
const letter = {
  ...{ id: 'dl_1', topic: 'jobs.submitted.v1', partition: 0, offset: '1', at: to },
  ...{ code: 'malformed_json', detail: '', service: 'ingest', redrive_count: 0 },
};

let server: Server;
let url: string;
/** What was asked, and what is answered from now on. */
let asked: { line: string; by: string | undefined; body: string }[] = [];
let answers: object[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const line = `${request.method} ${request.url}`;
      asked.push({ line, by: request.headers.authorization, body });
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answers.shift()));
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
    readConfig: () => ({ url, keyOf: (holder) => holder }),
    terminal: {
      out: (text) => void (said.out += `${text}\n`),
      error: (text) => void (said.error += `${text}\n`),
    },
  });
  return { status, ...said };
}

describe('dead-letters redrive --all', () => {
  it('asks until none is left, ends where it began, and tells what was refused', async () => {
    answers = [
      { results: [done], more: true, next_cursor: 'abc', to },
      { results: [refused], more: false, next_cursor: null, to },
    ];
    const { error, out, status } = await typed('dead-letters redrive --all --topic a --code b');
    expect(status).toBe(0);
    expect(error).toBe('1 redriven, 0 refused\n');
    expect(out).toMatch(/^1 redriven, 1 refused\n\nID[^]*dl_2 +invalid_request +not text/);
    expect(asked.map(({ line }) => line)).toEqual(
      asked.map(() => 'POST /v1/dead-letters:redrive'),
    );
    expect(asked.map(({ body }) => JSON.parse(body))).toEqual([
      { topic: 'a', code: 'b', limit: 200 },
      { topic: 'a', code: 'b', limit: 200, cursor: 'abc', to },
    ]);
  });

  it('with --dry-run only counts, by topic and reason', async () => {
    answers = [
      { data: [letter, letter], next_cursor: 'abc' },
      { data: [letter], next_cursor: null },
    ];
    const { out } = await typed('dead-letters redrive --all --dry-run --operator');
    expect(out).toMatch(/jobs\.submitted\.v1 +malformed_json +3/);
    expect(asked.map(({ line }) => line)).toEqual([
      'GET /v1/dead-letters?redriven=false&limit=100',
      'GET /v1/dead-letters?redriven=false&cursor=abc&limit=100',
    ]);
    expect(asked.every(({ by }) => by === 'Bearer operator')).toBe(true);
  });
});
