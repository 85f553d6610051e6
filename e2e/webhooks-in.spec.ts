import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { ended, stack, uniqueId } from './running-stack.ts';

const cli = join(import.meta.dirname, '../apps/cli/bin/millrace.mjs');
const secret = 'mill-secret';
/** Of the README's tour. */
const template = { prompt: 'Sort this ticket in: {{ payload.title }}' };

/** What is typed in a terminal. @returns the answer of the API */
function millrace(...words: string[]): Record<string, unknown> {
  const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...words, '--json'], {
    env: { ...process.env, MILLRACE_URL: stack.url, MILLRACE_API_KEY: stack.apiKey },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** By a program that is not ours. */
function signed(body: string): string {
  const words = ['dgst', '-sha256', '-hmac', secret, '-r'];
  const { stdout } = spawnSync('openssl', words, { input: body, encoding: 'utf8' });
  return stdout.split(' ')[0] ?? '';
}

async function send(path: string, body: string, signature: string) {
  const response = await fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-webhook-signature': signature },
    body,
  });
  const answer: Record<string, unknown> = JSON.parse(await response.text());
  return { status: response.status, answer };
}

describe('a webhook of another system', () => {
  it('starts one job, however often it is sent, until its source is taken away', async () => {
    const made = ['--provider', 'generic', '--secret', secret];
    const source = millrace(
      ...['inbound', 'create', uniqueId('tickets'), ...made],
      ...['--template', JSON.stringify(template)],
    );
    const path = String(source.path);
    const body = JSON.stringify({ title: 'The wheel squeaks' });

    const first = await send(path, body, signed(body));
    expect(first).toMatchObject({ status: 202, answer: { status: 'accepted' } });
    const again = await send(path, body, signed(body));
    const { job_id: jobId } = first.answer;
    expect(again).toEqual({ status: 200, answer: { status: 'duplicate', job_id: jobId } });
    expect((await send(path, body, signed('{}'))).status).toBe(401);

    const job = await ended(String(jobId));
    expect(job.status).toBe('succeeded');
    // The stand-in quotes what it was asked.
    expect(job.result).toContain('Sort this ticket in:');

    millrace('inbound', 'delete', String(source.id));
    expect((await send(path, body, signed(body))).status).toBe(404);
  });

  it('is signed with a new secret, beside the one before, and then instead of it', async () => {
    const id = String(
      millrace(
        ...['inbound', 'create', uniqueId('tickets'), '--provider', 'generic'],
        ...['--secret', 'first-secret', '--template', JSON.stringify(template)],
      ).id,
    );
    const { path } = millrace('inbound', 'add-secret', id, '--secret', secret);
    const body = JSON.stringify({ title: 'The race is dry' });
    expect((await send(String(path), body, signed(body))).status).toBe(202);
    millrace('inbound', 'add-secret', id, '--secret', 'third-secret', '--drop-previous');
    expect((await send(String(path), body, signed(body))).status).toBe(401);
    expect(millrace('inbound', 'get', id)).toMatchObject({ secrets: 1 });
    millrace('inbound', 'delete', id);
  });
});
