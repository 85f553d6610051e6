import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { toolCompletedSchema, topics, type ToolCompleted } from '@millrace/contracts';
import { createTestTopics, KafkaReader, testBrokers, type TestTopics } from '@millrace/testing';
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { z } from 'zod';

import { defineTool, runToolWorker, type ToolWorker, type ToolWorkerOptions } from './index.ts';

jest.setTimeout(60_000);

const kafka = { brokers: testBrokers(), logLevel: logLevel.NOTHING };

let isolated: TestTopics;
let producer: Producer;
let answers: KafkaReader;
const workers: ToolWorker[] = [];

beforeAll(async () => {
  isolated = await createTestTopics();
  producer = new Kafka(kafka).producer();
  await producer.connect();
  answers = await new KafkaReader(isolated.prefix + topics.toolsCompleted.name).start();
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});
afterAll(async () => {
  await answers?.stop();
  await producer?.disconnect();
  await isolated?.drop();
});

async function start(
  options: Pick<ToolWorkerOptions, 'tools' | 'groupId'> & Partial<ToolWorkerOptions>,
): Promise<ToolWorker> {
  const worker = await runToolWorker({
    kafka,
    topicPrefix: isolated.prefix,
    ...options,
    groupId: isolated.prefix + options.groupId,
  });
  workers.push(worker);
  return worker;
}

interface Asked {
  readonly tool: string;
  readonly arguments?: object;
  readonly attempt?: number;
  readonly deadline?: Date;
}

async function ask(callId: string, asked: Asked): Promise<void> {
  const workflow = callId.split('/')[0] ?? callId;
  const data = {
    job_id: workflow,
    workflow_id: workflow,
    call_id: callId,
    token: `token-of-${callId}`,
    tool: asked.tool,
    tool_version: 1,
    arguments: asked.arguments ?? {},
    attempt: asked.attempt ?? 1,
    deadline: (asked.deadline ?? new Date(Date.now() + 60_000)).toISOString(),
  };
  await producer.send({
    topic: isolated.prefix + topics.toolsRequested.name,
    messages: [
      {
        key: workflow,
        value: JSON.stringify(data),
        headers: { traceparent: `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01` },
      },
    ],
  });
}

async function answersTo(callId: string, count: number): Promise<ToolCompleted[]> {
  const of = () =>
    answers.messages
      .map(({ value }) => toolCompletedSchema.parse(JSON.parse(String(value))))
      .filter(({ call_id }) => call_id === callId);
  await answers.waitFor(() => of().length >= count);
  return of();
}

describe('a worker', () => {
  it('answers a call with its token, and one that comes again without running it', async () => {
    let runs = 0;
    const add = defineTool({
      name: 'add',
      description: 'Adds',
      input: z.object({ a: z.number(), b: z.number() }),
      run: ({ a, b }) => {
        runs += 1;
        return { sum: a + b };
      },
    });
    await start({ groupId: 'add', tools: [add] });
    await ask('add/t1', { tool: 'add', arguments: { a: 1, b: 2 } });
    await ask('add/t1', { tool: 'add', arguments: { a: 1, b: 2 } });
    const [first, second] = await answersTo('add/t1', 2);
    expect(first).toMatchObject({
      workflow_id: 'add',
      call_id: 'add/t1',
      token: 'token-of-add/t1',
      output: { sum: 3 },
      attempts: 1,
    });
    expect(second!.output).toEqual({ sum: 3 });
    expect(runs).toBe(1);
    expect(answers.messages[0]!.headers).toMatchObject({
      ce_type: 'millrace.tool.completed.v1',
      traceparent: expect.stringContaining('a1a1a1'),
    });
    expect(answers.messages[0]!.key?.toString()).toBe('add');
  });

  it('answers what a tool throws, refuses or takes too long for', async () => {
    const tools = [
      defineTool({
        name: 'throws',
        description: 'x',
        input: z.object({}),
        run: () => {
          throw new Error('it is broken');
        },
      }),
      defineTool({
        name: 'strict',
        description: 'x',
        input: z.object({ a: z.number() }),
        run: () => 'never',
      }),
      defineTool({
        name: 'hangs',
        description: 'x',
        input: z.object({}),
        run: () => new Promise(() => undefined),
      }),
    ];
    await start({ groupId: 'faults', tools });
    await ask('throws/t1', { tool: 'throws' });
    await ask('strict/t1', { tool: 'strict', arguments: { a: 'x' } });
    await ask('hangs/t1', { tool: 'hangs', deadline: new Date(Date.now() + 3_000) });
    const [thrown] = await answersTo('throws/t1', 1);
    expect(thrown!.error).toEqual({ code: 'tool_failed', detail: 'it is broken' });
    const [refused] = await answersTo('strict/t1', 1);
    expect(refused!.error).toMatchObject({ code: 'invalid_arguments' });
    const [late] = await answersTo('hangs/t1', 1);
    expect(late!.error).toMatchObject({ code: 'tool_timeout' });
  });

  it('tries a call that failed when its next attempt is asked for', async () => {
    let runs = 0;
    const flaky = defineTool({
      name: 'flaky',
      description: 'x',
      input: z.object({}),
      run: (_, { attempt }) => {
        runs += 1;
        if (attempt === 1) throw new Error('not yet');
        return 'done';
      },
    });
    await start({ groupId: 'flaky', tools: [flaky] });
    await ask('flaky/t1', { tool: 'flaky' });
    await answersTo('flaky/t1', 1);
    await ask('flaky/t1', { tool: 'flaky', attempt: 2 });
    const [, second] = await answersTo('flaky/t1', 2);
    expect(second).toMatchObject({ output: 'done', attempts: 2 });
    expect(runs).toBe(2);
  });

  it('runs no more calls at once than it may', async () => {
    let running = 0;
    let most = 0;
    const counted = defineTool({
      name: 'counted',
      description: 'x',
      input: z.object({}),
      run: async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 20));
        running -= 1;
        return 'ok';
      },
    });
    await start({ groupId: 'counted', tools: [counted], callsMax: 3 });
    for (let i = 1; i <= 12; i += 1) await ask(`counted-${i}/t1`, { tool: 'counted' });
    for (let i = 1; i <= 12; i += 1) await answersTo(`counted-${i}/t1`, 1);
    expect(most).toBeLessThanOrEqual(3);
  });

  it('that stops before it can answer leaves the call to the next one', async () => {
    const begun = Promise.withResolvers<void>();
    const slow = defineTool({
      name: 'slow',
      description: 'x',
      input: z.object({}),
      run: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
    });
    const first = await start({ groupId: 'slow', tools: [slow], stopMs: 50 });
    await ask('slow/t1', { tool: 'slow' });
    await begun.promise;
    await first.stop();
    const quick = defineTool({
      name: 'slow',
      description: 'x',
      input: z.object({}),
      run: () => 'done by the next one',
    });
    await start({ groupId: 'slow', tools: [quick] });
    const told = await answersTo('slow/t1', 1);
    expect(told.map(({ output }) => output)).toEqual(['done by the next one']);
  });
});
