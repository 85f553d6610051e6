import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  produce,
  request,
  stack,
  submit,
  uniqueId,
  until,
} from './running-stack.ts';

const run = promisify(execFile);
const command = join(import.meta.dirname, '../apps/cli/bin/millrace.mjs');

type Json = ReturnType<typeof JSON.parse>;

/** What an operator types; the answer as a machine reads it. */
async function millrace(...words: string[]): Promise<Json> {
  const env = { ...process.env, MILLRACE_URL: stack.url, MILLRACE_API_KEY: stack.apiKey };
  const { stdout } = await run(process.execPath, [command, ...words, '--json'], { env });
  return JSON.parse(stdout);
}

/** The dead letter that a command line shows and that has a value of this kind. */
function letterOf(code: string, hasValue: (value: string) => boolean): Promise<Json> {
  return until(`a dead letter ${code}`, 30_000, async () => {
    const page = await millrace('dead-letters', 'list', '--code', code, '--redriven', 'false');
    for (const { id } of page.data) {
      const letter = await millrace('dead-letters', 'get', id);
      if (hasValue(letter.value?.data ?? '')) return letter;
    }
    return undefined;
  });
}

describe('redriving dead letters by the command line', () => {
  let receiver: WebhookReceiver;
  let deadLetters: Awaited<ReturnType<typeof consume>>;
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    deadLetters = await consume('jobs.submitted.v1.dlq');
  });
  afterAll(async () => {
    await deadLetters.stop();
    await receiver.close();
  });

  it('a record that is still poisoned is back in the dead letter topic', async () => {
    const value = `{"poison": "${uniqueId('poison')}`;
    await produce('jobs.submitted.v1', [{ key: 'k', value, headers: { 'x-upstream': 'mine' } }]);
    const letter = await letterOf('malformed_json', (text) => text === value);
    expect(await millrace('dead-letters', 'redrive', letter.id)).toMatchObject({
      redrive_count: 1,
    });
    const back = await until('the record in the dead letter topic again', 30_000, () => {
      const found = deadLetters.records.filter((record) => record.value?.toString() === value);
      // Each may be there twice: what counts is that the record lay at another place before.
      const [first] = found.map(({ headers }) => headers['dlq-offset']);
      return found.find(({ headers }) => headers['dlq-offset'] !== first);
    });
    expect(back.headers).toMatchObject({ 'x-upstream': 'mine', 'dlq-reason': 'malformed_json' });
  });

  it('many at once, by what they have in common, each once', async () => {
    const mark = uniqueId('many');
    const values = ['one', 'two'].map((name) => `{"${mark}": "${name}`);
    const from = new Date(Date.now() - 1_000).toISOString();
    const records = values.map((value) => ({ key: 'k', value }));
    await produce('jobs.submitted.v1', records);
    for (const value of values) await letterOf('malformed_json', (text) => text === value);
    const all = ['dead-letters', 'redrive', '--all', '--code', 'malformed_json', '--from', from];
    const { would_redrive: would } = await millrace(...all, '--dry-run');
    expect(would[0].letters).toBeGreaterThanOrEqual(2);
    const { redriven, refused } = await millrace(...all);
    expect(redriven).toBeGreaterThanOrEqual(2);
    expect(refused).toEqual([]);
    await until('both records again', 30_000, () => {
      const back = deadLetters.records.map(({ value }) => value?.toString() ?? '');
      return values.every((value) => back.filter((one) => one === value).length >= 2);
    });
  });

  it('a job that failed for good succeeds as a new one', async () => {
    const prompt = `Say hello. ${uniqueId('again')} [[fault:500 times=6]]`;
    const failed = await submit({ prompt, callback_url: receiver.url('/again') });
    expect(await ended(failed.id)).toMatchObject({ error: { code: 'retries_exhausted' } });
    const letter = await letterOf('retries_exhausted', (text) => text.includes(prompt));
    const { job_id: id } = await millrace('dead-letters', 'redrive', letter.id);
    expect(await ended(id)).toMatchObject({ status: 'succeeded', redrive_of: failed.id });
    expect(await ended(failed.id)).toMatchObject({ status: 'failed' });
    const timeline = await request(`/v1/jobs/${failed.id}/timeline`);
    expect(await timeline.text()).toContain(`"job_id":"${id}"`);
    await until('both webhooks', 30_000, () => receiver.at('/again').length === 2);
    expect(receiver.at('/again').map(({ jobId }) => jobId)).toEqual([failed.id, id]);
  });

  it('a webhook that was given up arrives under the webhook-id that it had', async () => {
    const path = `/${uniqueId('down')}`;
    let isDown = true;
    receiver.answer = (asked) => (isDown && asked === path ? 500 : 200);
    const job = await submit({ prompt: 'Say hello.', callback_url: receiver.url(path) });
    const letter = await letterOf('delivery_exhausted', (text) => text.includes(job.id));
    const refused = receiver.at(path).length;
    isDown = false;
    await millrace('dead-letters', 'redrive', letter.id);
    await until('the webhook', 30_000, () => receiver.at(path).length > refused);
    const ids = receiver.at(path).map(({ headers }) => headers['webhook-id']);
    expect(ids).toHaveLength(refused + 1);
    expect(new Set(ids).size).toBe(1);
  });
});
