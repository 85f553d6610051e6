import { execFileSync, spawnSync } from 'node:child_process';

import { describe, expect, it } from '@jest/globals';

import { ended, stack, uniqueId, until } from './running-stack.ts';

/** Another people's Kafka client, written in C: it knows nothing of our library. */
const kcatIsThere = spawnSync('kcat', ['-V']).status === 0;

function publish(body: string, headers: string[] = []): void {
  const flags = headers.flatMap((header) => ['-H', header]);
  execFileSync('kcat', ['-b', stack.kafka, '-t', 'jobs.submitted.v1', '-P', ...flags], {
    input: body,
  });
}

function readFinished(): { key: string; type: string; value: string }[] {
  const format = ['-f', '%k\t%h\t%s\n'];
  const output = execFileSync(
    'kcat',
    ['-b', stack.kafka, '-t', 'jobs.finished.v1', '-C', '-o', 'beginning', '-e', '-q', ...format],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  return output
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [key = '', headers = '', value = ''] = line.split('\t');
      return { key, type: /ce_type=([^,]*)/.exec(headers)?.[1] ?? '', value };
    });
}

(kcatIsThere ? describe : describe.skip)('kcat, as an upstream system', () => {
  it('publishes the bare form and reads the result from the topic', async () => {
    const jobId = uniqueId('kcat');
    publish(
      JSON.stringify({
        job_id: jobId,
        prompt: 'Say hello to kcat.',
        submitted_at: '2026-11-23T10:00:00Z',
      }),
    );
    const done = await ended(jobId);
    expect(done.status).toBe('succeeded');
    const finished = await until('the result on the topic', 10_000, () =>
      readFinished().find((record) => record.key === jobId),
    );
    expect(finished.type).toBe('millrace.job.succeeded.v1');
    expect(JSON.parse(finished.value)).toMatchObject({ job_id: jobId, result: done.result });
  });

  it('gives its trace on by a traceparent header', async () => {
    const jobId = uniqueId('kcat');
    const traceId = crypto.randomUUID().replaceAll('-', '');
    publish(JSON.stringify({ job_id: jobId, prompt: 'Say hello.' }), [
      `traceparent=00-${traceId}-00f067aa0ba902b7-01`,
    ]);
    expect((await ended(jobId)).trace_id).toBe(traceId);
  });
});
