import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { exitStatus, runCommandLine } from './command-line.ts';
import { commands } from './commands.ts';

const at = '2030-01-02T03:04:05.678Z';
const job = {
  id: 'job-1',
  type: 'message',
  status: 'succeeded',
  lane: 'standard',
  result: 'one two',
  created_at: at,
  finished_at: at,
  trace_id: '0af7651916cd43dd8448eb211c80319c',
};

let server: Server;
let url: string;
/** What each connection is told, in order. */
let connections: ((response: ServerResponse) => void)[];
let from: (string | undefined)[];

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/v1/jobs/job-1') return void response.end(JSON.stringify(job));
    from.push(request.headers['last-event-id']?.toString());
    const tell = connections.shift();
    if (tell === undefined) return void response.writeHead(204).end();
    tell(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function follow(...told: typeof connections) {
  return followOn({ isOneScreen: false }, ...told);
}

async function followOn(
  { isOneScreen }: { readonly isOneScreen: boolean },
  ...told: typeof connections
) {
  connections = told;
  from = [];
  const said = { out: '', error: '', text: '' };
  const status = await runCommandLine(['jobs', 'follow', 'job-1'], {
    commands,
    readConfig: () => ({ url, keyOf: (holder) => holder }),
    terminal: {
      out: (text) => (said.out += text),
      error: (text) => (said.error += text),
      write: (text) => (said.text += text),
      isOneScreen,
    },
  });
  return { status, ...said };
}

const delta = (end: number, text: string) =>
  `event: delta\nid: job-1:1.1.${end}\ndata: ${JSON.stringify({ text })}\n\n`;
const opened = 'retry: 5\nevent: stream.opened\ndata: {"job_id":"job-1","status":"running"}\n\n';
const ended = `event: job.succeeded\nid: job-1:end\ndata: ${JSON.stringify(job)}\n\n`;

describe('following a job', () => {
  it('goes on after a break with its last id, and shows each piece once', async () => {
    const said = await follow(
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(opened + delta(3, 'one'));
        // The half of an event is none: it comes again.
        response.write('event: delta\nid: job-1:1.1.9\ndata: {"te', () => response.destroy());
      },
      (response) => void response.writeHead(503).end('{}'),
      (response) => void response.end(opened + delta(7, ' two') + ended),
    );
    expect(said).toMatchObject({ status: exitStatus.done, text: 'one two' });
    expect(said.out).toContain('succeeded');
    expect(from).toEqual([undefined, 'job-1:1.1.3', 'job-1:1.1.3']);
  });

  it('says when the text begins again, and what an agent does between its turns', async () => {
    const step = 'event: step\nid: job-1:1.2.0~4\ndata: {"kind":"tool_call"}\n\n';
    const restarted = 'event: stream.restarted\nid: job-1:1.2.0\ndata: {"attempt":2}\n\n';
    const turn = 'event: turn.started\nid: job-1:2.1.0\ndata: {"turn":2}\n\n';
    const said = await follow((response) => void response.end(opened + restarted + step + turn));
    expect(said.error).toMatch(/attempt 2.*tool_call.*turn 2/s);
    expect(said.status).toBe(exitStatus.done);
  });

  it('shows an answer once on one screen, and a pipe the answer whole', async () => {
    const tells = (response: ServerResponse) =>
      void response.end(opened + delta(3, 'one') + opened + delta(7, ' two') + ended);
    const onScreen = await followOn({ isOneScreen: true }, tells);
    expect(onScreen).toMatchObject({ status: exitStatus.done, text: 'one two' });
    expect(onScreen.out).toContain('succeeded');
    expect(onScreen.out).not.toContain('one two');
    expect((await follow(tells)).out).toContain('one two');
  });

  it('shows on one screen the answer of which it was told only a part', async () => {
    const restarted = 'event: stream.restarted\nid: job-1:1.2.0\ndata: {"attempt":2}\n\n';
    const said = await followOn(
      { isOneScreen: true },
      (response) => void response.end(opened + delta(7, 'one two') + restarted + ended),
    );
    expect(said.out).toContain('one two');
  });

  it('begins what it says between pieces of the text on a line of its own', async () => {
    const runs = 'event: job.running\ndata: {"job_id":"job-1","status":"running"}\n\n';
    const told = opened + runs + delta(3, 'one') + runs + delta(7, ' two') + ended;
    const said = await follow((response) => void response.end(told));
    expect(said.error).toBe('-- running\n-- running');
  });

  it('gives up what is refused for good', async () => {
    const problem = {
      type: 'about:blank',
      title: 'Gone',
      status: 410,
      code: 'gone',
      detail: 'the events of this job are not kept any longer: read it',
    };
    const said = await follow(
      (response) => void response.writeHead(410).end(JSON.stringify(problem)),
    );
    expect(said).toMatchObject({ status: exitStatus.refused, text: '' });
    expect(said.error).toContain('not kept any longer');
  });
});
