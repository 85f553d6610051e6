import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ChildProgram } from '@millrace/testing';

import { bodyOf, endOfAgent, register, startAgent, stepsOf } from './agent-runs.ts';
import { stampTool } from './receivers/stamp-tool.ts';
import { ToolServer, type ReceivedCall } from './receivers/tool-server.ts';
import { stack, uniqueId, until } from './running-stack.ts';

jest.setTimeout(180_000);

const example = join(import.meta.dirname, '../examples/tool-worker/main.mjs');
/** A group of workers gives up one that is silent after half a minute. */
const takenOverMs = 120_000;

let server: ToolServer;
const workers: ChildProgram[] = [];

interface Party {
  readonly tenant: string;
  readonly key: string;
}

beforeAll(async () => {
  server = await ToolServer.listen();
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.kill()));
  await server?.close();
});

function startWorker(name: string, o: { tenant: string; group: string }): ChildProgram {
  const file = join(import.meta.dirname, 'receivers/stamp-worker.ts');
  const worker = ChildProgram.start(file, [stack.kafka, o.tenant, o.group, name, server.url('/')]);
  workers.push(worker);
  return worker;
}

/** Tools are registered as their own code says. */
async function registerStamp({ key }: Pick<Party, 'key'>): Promise<void> {
  await register('stamp', stampTool({ worker: '', server: '' }).submission, key);
}

async function newParty(): Promise<Party> {
  const tenant = uniqueId('crew').slice(0, 20);
  const asOperator = { key: stack.adminKey, method: 'POST' };
  await bodyOf('/v1/tenants', { ...asOperator, body: JSON.stringify({ id: tenant }) });
  const body = JSON.stringify({ tenant, label: 'story' });
  const { key } = await bodyOf<{ key: string }>('/v1/api-keys', { ...asOperator, body });
  return { tenant, key };
}

const workerOf = ({ path }: ReceivedCall): string => path.slice(1);

describe("two of a tenant's own workers", () => {
  it('share its calls; what one has as it is killed the other one answers', async () => {
    const group = uniqueId('group');
    const [first, second] = ['one', 'two'].map((name) => uniqueId(name));
    const started = new Map(
      [first!, second!].map((name) => [name, startWorker(name, { tenant: 'default', group })]),
    );
    await registerStamp({ key: stack.apiKey });
    let killed: string | undefined;
    server.answer = async (call) => {
      killed ??= workerOf(call);
      // Whoever has it first never hears of it again.
      if (workerOf(call) === killed) await new Promise(() => undefined);
      return 'well';
    };
    const { id } = await startAgent({
      script: '[[tool:stamp {"n":7}]]',
      params: { tools: ['stamp'] },
    });
    await until('a worker to have the call', 60_000, () => server.of(id).length > 0);
    await started.get(killed!)!.kill();

    const done = await endOfAgent(id, { timeoutMs: takenOverMs });
    expect(done.status).toBe('succeeded');
    const other = killed === first ? second! : first!;
    // The model was told by who lives, and once.
    expect(done.result).toContain(other);
    expect(done.result).not.toContain(killed!);
    expect(await stepsOf(id, 'tool_call')).toMatchObject([
      { name: 'stamp', is_error: false, output: { stamped: 7, by: other, said: 'well' } },
    ]);
    const calls = server.of(id);
    expect(calls.map(workerOf)).toEqual([killed, other]);
    // The record that was never answered, and no second asking.
    expect(calls.map((call) => call.arguments)).toEqual(calls.map(() => ({ n: 7, attempt: 1 })));
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(1);
  });
});

describe('workers of two tenants with equal tools', () => {
  const agentsOfEach = 3;

  it('have the calls of their own tenant, and never see one of the other', async () => {
    const [mine, theirs] = await Promise.all([newParty(), newParty()]);
    // Groups are the broker's, and names of both tenants' own choice.
    const group = uniqueId('group');
    server.answer = () => 'well';
    for (const { tenant } of [mine, theirs]) startWorker(tenant, { tenant, group });
    await Promise.all([mine, theirs].map(registerStamp));
    const started = await Promise.all(
      [mine, theirs].flatMap((party) =>
        Array.from({ length: agentsOfEach }, async (_, n) => {
          const script = `[[tool:stamp {"n":${n}} && stamp {"n":${n + 10}}]]`;
          // Names are a tenant's own: both have runs of the same ones.
          const job = { job_id: `${group}-${n}` };
          await startAgent({ script, params: { tools: ['stamp'] }, job, key: party.key });
          return { party, id: job.job_id };
        }),
      ),
    );
    for (const { id, party } of started) {
      const done = await endOfAgent(id, { key: party.key });
      expect(done.status).toBe('succeeded');
      const [other] = [mine, theirs].filter(({ tenant }) => tenant !== party.tenant);
      expect(done.result).toContain(party.tenant);
      expect(done.result).not.toContain(other!.tenant);
    }
    for (const { tenant } of [mine, theirs]) {
      const own = server.calls.filter((call) => workerOf(call) === tenant);
      expect(own).toHaveLength(2 * agentsOfEach);
    }
  });
});

describe('the example of a worker', () => {
  it('serves its tool beside a stack that is told to it by the environment', async () => {
    const worker = ChildProgram.start(example, [], {
      ...process.env,
      MILLRACE_URL: stack.url,
      MILLRACE_API_KEY: stack.apiKey,
      KAFKA_BROKERS: stack.kafka,
    });
    workers.push(worker);
    await until('the example to serve', 60_000, () => {
      if (worker.isGone) throw new Error(worker.said);
      return worker.said.includes('serving word-count');
    });
    const { id } = await startAgent({
      script: '[[tool:word-count {"text":"the mill on the race"}]]',
      params: { tools: ['word-count'] },
    });
    expect((await endOfAgent(id)).status).toBe('succeeded');
    expect(await stepsOf(id, 'tool_call')).toMatchObject([
      { name: 'word-count', is_error: false, output: { words: 5 } },
    ]);
  });
});
