import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { until } from './running-stack.ts';

jest.setTimeout(240_000);

const repository = resolve(import.meta.dirname, '..');
const stopWithinMs = 15_000;
const portVariables = [
  'MILLRACE_HTTP_PORT',
  'MILLRACE_WORKER_PORT',
  'MILLRACE_ORCHESTRATOR_PORT',
  'MILLRACE_DISPATCHER_PORT',
  'MILLRACE_TOOLS_PORT',
  'MILLRACE_KAFKA_PORT',
  'MILLRACE_KAFKA_CONTROLLER_PORT',
  'MILLRACE_POSTGRES_PORT',
  'MILLRACE_CLAUDE_PORT',
  'MILLRACE_RECEIVER_PORT',
];

/** An `npm …` of the repository, with what it printed and how it ended. */
class Command {
  output = '';
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(script: string, args: string[], env: Record<string, string>) {
    this.child = spawn('npm', ['run', '--silent', script, '--', ...args], {
      cwd: repository,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exited = new Promise((done) => this.child.once('exit', (code) => done(code)));
  }

  async ready(): Promise<void> {
    let gone = false;
    void this.exited.then(() => (gone = true));
    await until('`ready`', 120_000, () => gone || /^\s*ready\b/m.test(this.output));
    if (gone) throw new Error(`npm start ended early:\n${this.output}`);
  }
}

describe('npm start', () => {
  let home: string;
  let env: Record<string, string>;
  let keep: Server[];
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
    keep = [];
    env = { MILLRACE_HOME: home, ANTHROPIC_API_KEY: '', OTEL_SDK_DISABLED: 'true' };
    for (const name of portVariables) env[name] = String(await freePort());
  });
  afterEach(async () => {
    await new Command('stop', [], env).exited;
    for (const server of keep) server.close();
    rmSync(home, { recursive: true, force: true });
  });

  const run = (script: string, ...args: string[]) => new Command(script, args, env);

  it('--once does the job on a file of ours, shows each step, and ends with status 0', async () => {
    const file = join(home, 'text.md');
    writeFileSync(file, '# The heron\n\nA heron stood in the millrace and caught two fish.\n');
    const start = run('start', '--once', '--file', file);
    expect([await start.exited, start.output]).toEqual([0, expect.stringContaining('verified')]);
    expect(start.output).toMatch(/trace\s.*[0-9a-f]{32}/i);
    expect(processesOf(home)).toEqual([]);
  });

  it('stays up, is seen by status, refuses a second start, and stops by npm stop', async () => {
    const start = run('start', '--no-sample');
    await start.ready();
    const job = await submitTo(env, home);

    const second = run('start');
    expect(await second.exited).toBe(1);
    expect(second.output).toMatch(/runs already/i);

    const status = run('status');
    expect(await status.exited).toBe(0);
    expect(status.output).toContain('claude-worker');

    const stop = run('stop');
    expect(await stop.exited).toBe(0);
    await start.exited;
    expect(processesOf(home)).toEqual([]);

    const startedAt = performance.now();
    const again = run('start', '--no-sample');
    await again.ready();
    expect(performance.now() - startedAt).toBeLessThan(25_000);
    expect((await readFrom(env, home, job)).status).toBe(200);

    const signalledAt = performance.now();
    again.child.kill('SIGTERM');
    await again.exited;
    await until('nothing left', stopWithinMs, () => processesOf(home).length === 0);
    expect(performance.now() - signalledAt).toBeLessThan(stopWithinMs);
  });

  it('--replicas 2 runs two processes of each service, and either API answers', async () => {
    const start = run('start', '--no-sample', '--replicas', '2');
    await start.ready();
    const services = [
      'ingest',
      'claude-worker',
      'agent-orchestrator',
      'tool-runner',
      'webhook-dispatcher',
    ];
    const pids = services.flatMap((service) =>
      [1, 2].map((n) => Number(readFileSync(join(home, 'run', `${service}-${n}.pid`), 'utf8'))),
    );
    expect(new Set(pids).size).toBe(10);
    expect(processesOf(home)).toEqual(expect.arrayContaining(pids.map(String)));

    const first = `http://127.0.0.1:${env['MILLRACE_HTTP_PORT']}`;
    const printed = start.output.match(/http:\/\/127\.0\.0\.1:\d+/g) ?? [];
    const job = await submitTo(env, home);
    const answers = await Promise.all(
      [...new Set(printed)].map((url) =>
        fetch(`${url}/v1/jobs/${job}`, { headers: authorization(home) }).then(
          async (response) => (response.status === 200 ? [url, await response.text()] : []),
          () => [],
        ),
      ),
    );
    const apis = answers.filter((answer) => answer[1]?.includes(job) === true);
    expect(apis).toHaveLength(2);
    expect(apis.map(([url]) => url)).toContain(first);

    const stop = run('stop');
    expect(await stop.exited).toBe(0);
    await start.exited;
    expect(processesOf(home)).toEqual([]);
  });

  it('restarts a service that dies; killed it leaves nothing, and starts again', async () => {
    const start = run('start', '--no-sample');
    await start.ready();
    const pidFile = join(home, 'run', 'webhook-dispatcher.pid');
    const before = readFileSync(pidFile, 'utf8');
    process.kill(Number(before), 'SIGKILL');
    await until(
      'a new process',
      30_000,
      () => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== before,
    );
    // With its last log lines.
    expect(start.output).toMatch(/webhook-dispatcher.*(restart|died|ended)/i);

    const main: { pid: number } = JSON.parse(readFileSync(join(home, 'run', 'stack.json'), 'utf8'));
    process.kill(main.pid, 'SIGKILL');
    await until('nothing left', 10_000, () => processesOf(home).length === 0);
    const again = run('start', '--no-sample');
    await again.ready();
  });

  interface BadFile {
    readonly what: string;
    readonly bytes: Buffer | null;
    readonly words: RegExp;
  }
  const badFiles: BadFile[] = [
    { what: 'above 200 KB', bytes: Buffer.alloc(201 * 1024, 'a'), words: /200 KB/ },
    { what: 'not UTF-8', bytes: Buffer.from([0x61, 0xc3, 0x28]), words: /UTF-8/ },
    { what: 'missing', bytes: null, words: /no such file|does not exist|not there|cannot be read/i },
  ];
  it.each(badFiles)('says what is wrong with a file that is $what', async ({ bytes, words }) => {
    const file = join(home, bytes === null ? 'no-such-file.md' : 'bad.md');
    if (bytes !== null) writeFileSync(file, bytes);
    const start = run('start', '--once', '--file', file);
    expect(await start.exited).toBe(1);
    expect(start.output).toMatch(words);
    expect(processesOf(home)).toEqual([]);
  });

  it('names the port and its variable when the port is taken', async () => {
    const port = await listening(keep, 200);
    env['MILLRACE_HTTP_PORT'] = String(port);
    const start = run('start', '--once');
    expect(await start.exited).toBe(1);
    expect(start.output).toContain(String(port));
    expect(start.output).toContain('MILLRACE_HTTP_PORT');
    expect(processesOf(home)).toEqual([]);
  });

  it('names ANTHROPIC_API_KEY when Claude does not take it', async () => {
    const port = await listening(keep, 401);
    env['ANTHROPIC_BASE_URL'] = `http://127.0.0.1:${port}`;
    env['ANTHROPIC_API_KEY'] = 'sk-wrong';
    const start = run('start', '--once');
    expect(await start.exited).toBe(1);
    expect(start.output).toContain('ANTHROPIC_API_KEY');
    expect(start.output).not.toContain('sk-wrong');
    expect(processesOf(home)).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const port = portOf(server);
  await new Promise((done) => server.close(done));
  return port;
}

/** Opens a server that answers every request with one status. */
async function listening(keep: Server[], status: number): Promise<number> {
  const server = createServer((_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end('{"type":"error","error":{"type":"authentication_error","message":"no"}}');
  });
  keep.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return portOf(server);
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

/** Pids of every process that a stack in this folder started: each carries the folder's name. */
function processesOf(home: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`MILLRACE_STACK=${home}\0`);
    } catch {
      return false;
    }
  });
}

async function submitTo(env: Record<string, string>, home: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${env['MILLRACE_HTTP_PORT']}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(home) },
    body: JSON.stringify({ prompt: 'Say hello.' }),
  });
  expect(response.status).toBe(202);
  return JSON.parse(await response.text()).id;
}

function readFrom(env: Record<string, string>, home: string, job: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${env['MILLRACE_HTTP_PORT']}/v1/jobs/${job}`, {
    headers: authorization(home),
  });
}

function authorization(home: string): Record<string, string> {
  return { authorization: `Bearer ${readFileSync(join(home, 'api-key'), 'utf8').trim()}` };
}
