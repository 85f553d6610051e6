import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from '@jest/globals';

import { ended, request, stack, submit, until } from './running-stack.ts';

/** Where Flask is; unset where there is none. */
const pythonPath = process.env.MILLRACE_E2E_PYTHONPATH;
const folder = join(import.meta.dirname, '../examples/webhook-receiver');
const receivers: ChildProcess[] = [];

afterEach(async () => {
  for (const receiver of receivers.splice(0)) {
    const exited = once(receiver, 'exit');
    receiver.kill('SIGTERM');
    await exited;
  }
});

/** Starts an example as its own text says, on a free port. @returns where it answers. */
async function start(app: string, secret = stack.webhookSecret): Promise<string> {
  const port = await freePort();
  const receiver = spawn(
    'python3',
    ['-m', 'flask', '--app', app, 'run', '--port', String(port)],
    {
      cwd: folder,
      env: { ...process.env, PYTHONPATH: pythonPath, WEBHOOK_SECRET: secret },
      stdio: 'ignore',
    },
  );
  receivers.push(receiver);
  const url = `http://127.0.0.1:${port}`;
  await until('the receiver answers', 30_000, () =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
  return url;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** What the receiver keeps of a job or a webhook, as soon as it does. */
function kept(url: string): Promise<Record<string, unknown>> {
  return until('the receiver has it', 20_000, async () => {
    const response = await fetch(url);
    const body: Record<string, unknown> = JSON.parse(await response.text());
    return response.ok ? body : undefined;
  });
}

/** The `webhook-id` of each POST of a job's webhook that its timeline tells of. */
async function posts(jobId: string): Promise<string[]> {
  const response = await request(`/v1/jobs/${jobId}/timeline`);
  const timeline: { events: { kind: string; webhook_id?: string }[] } = JSON.parse(
    await response.text(),
  );
  return timeline.events
    .filter(({ kind }) => kind === 'delivery_attempt')
    .map((event) => event.webhook_id ?? '');
}

(pythonPath !== undefined ? describe : describe.skip)('a receiver in Python (Flask)', () => {
  it('as the article has it takes the hex signature, with the secret pasted in', async () => {
    const url = await start('article_receiver');
    const job = await submit({ prompt: 'Say hello.', callback_url: `${url}/webhook` });
    const { result } = await ended(job.id);
    expect(await kept(`${url}/jobs/${job.id}`)).toEqual({ job_id: job.id, result });
    await until('the timeline tells of it', 10_000, async () => (await posts(job.id)).length === 1);
  });

  it('as the article has it refuses what another secret has signed', async () => {
    const url = await start('article_receiver', 'whsec_b3RoZXI=');
    const job = await submit({ prompt: 'Say hello.', callback_url: `${url}/webhook` });
    await ended(job.id);
    await until('it was tried more than once', 20_000, async () => {
      return (await posts(job.id)).length > 1;
    });
    expect((await fetch(`${url}/jobs/${job.id}`)).status).toBe(404);
  });

  it('with the library standardwebhooks takes the signature of either secret', async () => {
    const other = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    const url = await start('standard_receiver', `${other} ${stack.webhookSecret}`);
    const job = await submit({ prompt: 'Say hello.', callback_url: `${url}/webhook` });
    const { result } = await ended(job.id);
    const told = await until('it was sent', 20_000, async () => (await posts(job.id))[0]);
    expect(await kept(`${url}/webhooks/${told}`)).toMatchObject({ job_id: job.id, result });
  });
});
