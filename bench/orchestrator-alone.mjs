/**
 * What agent-orchestrator does by itself: the other services are put to sleep, and the bench tells
 * it, round by round, what they would have said. A round is over when all that it led to was asked.
 */
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { createdAt, eventRecord } from './event-record.mjs';
import { round } from './figures.mjs';

const day = createdAt.slice(0, 10);
const tenant = 'default';
const toolCalls = 6;
const batchSize = 500;
/** Runs before those that count: the first is slower, although the service is warm by then. */
const warmUps = 1;
const traceDigits = 32;
const asleep = ['ingest', 'claude-worker', 'tool-runner', 'webhook-dispatcher'];

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {{ workflows: number, runs: number }} size
 * @returns {Promise<number[]>} transitions per second of each run
 */
export async function aloneTransitions(bench, { workflows, runs }) {
  const { stack } = bench;
  const names = asleep.flatMap((service) => stack.replicasOf(service));
  const pids = names.map((name) => stack.pid(name));
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const key = readFileSync(join(bench.home, 'tool-token-key'), 'utf8').trim();
  const asked = await followAsked(bench);
  const rates = [];
  try {
    for (let run = 1; run <= warmUps + runs; run += 1) {
      const rate = await transitions(bench, asked, { workflows, key, label: `tr${run}` });
      if (run <= warmUps) continue;
      rates.push(rate);
      console.log(`  ${workflows} workflows: ${round(rate)} transitions/s`);
    }
  } finally {
    await asked.stop();
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
  return rates;
}

/** Counts what is asked of the others. */
async function followAsked({ kafka }) {
  let count = 0;
  // An answer comes with the first record; asking more often only keeps the broker busy.
  const consumer = kafka.consumer({ groupId: 'bench-asked', maxWaitTimeInMs: 500 });
  await consumer.connect();
  const topics = ['claude.requested.v1', 'tools.run.v1', 'jobs.finished.v1'];
  for (const topic of topics) await consumer.subscribe({ topic });
  await consumer.run({
    eachBatch: ({ batch }) => {
      count += batch.messages.length;
      return Promise.resolve();
    },
  });
  return {
    async waitFor(target) {
      const deadline = Date.now() + 60_000;
      while (count < target) {
        if (Date.now() > deadline) throw new Error(`only ${count} of ${target} were asked`);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    get count() {
      return count;
    },
    stop: () => consumer.disconnect(),
  };
}

async function transitions({ producer }, asked, { workflows, key, label }) {
  const ids = Array.from({ length: workflows }, (_, n) => `bench-${label}-${n}`);
  const rounds = [requested, (id) => described(id, key)];
  for (let n = 1; n <= toolCalls; n += 1) {
    rounds.push(
      (id) => answered(id, n),
      (id) => completed(id, n, key),
    );
  }
  rounds.push((id) => answered(id, toolCalls + 1));
  let seconds = 0;
  for (const events of rounds) {
    const messages = ids.map(events);
    const target = asked.count + workflows;
    const startedAt = performance.now();
    for (let from = 0; from < workflows; from += batchSize) {
      const part = messages.slice(from, from + batchSize);
      await producer.send({ topic: part[0].topic, messages: part });
    }
    await asked.waitFor(target);
    seconds += (performance.now() - startedAt) / 1000;
  }
  return (workflows * rounds.length) / seconds;
}

/** As ingest and those after it pass one on under such a load: few traces are kept. */
function traceparentOf(id) {
  const hash = createHash('sha256').update(id).digest('hex');
  const flags = hash.startsWith('0') ? '01' : '00';
  return `00-${hash.slice(0, traceDigits)}-${hash.slice(traceDigits, traceDigits + 16)}-${flags}`;
}

function requested(id) {
  const params = {
    model: 'claude-sonnet-5-5',
    max_tokens: 256,
    tools: ['look'],
    messages: [{ role: 'user', content: 'Look around.' }],
  };
  const reply = { kind: 'job', created_at: createdAt };
  return eventRecord('workflows.requested.v1', 'millrace.workflow.requested.v1', {
    id: `${tenant}:${id}:requested`,
    key: `${tenant}/${id}`,
    traceparent: traceparentOf(id),
    data: { tenant, job_id: id, type: 'agent', params, reply },
  });
}

function tokenOf(id, callId, key) {
  const text = ['v1', tenant, day, 1, id, callId].join('\n');
  const seal = createHmac('sha256', key).update(text).digest('base64url');
  return `v1.${tenant}.${day}.1.${seal}`;
}

function described(id, key) {
  const callId = `${id}/t0`;
  const tool = {
    name: 'look',
    version: 1,
    description: 'looks',
    input_schema: { type: 'object' },
    effect: 'read',
    approval: 'never',
    via: 'runner',
    timeout_seconds: 60,
    retries: 2,
    result_bytes_max: 65_536,
  };
  const token = tokenOf(id, callId, key);
  return eventRecord('tools.completed.v1', 'millrace.tool.described.v1', {
    id: `${tenant}:${callId}:described`,
    key: id,
    traceparent: traceparentOf(id),
    data: { workflow_id: id, call_id: callId, token, tools: [tool], missing: [] },
  });
}

function answered(id, n) {
  const callId = `${id}/m${n}`;
  const isLast = n > toolCalls;
  const usage = { input_tokens: 12, output_tokens: 9 };
  const use = { type: 'tool_use', id: `toolu_${n}`, name: 'look', input: { turn: n } };
  const message = {
    id: `msg_${n}`,
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-5-5',
    content: [isLast ? { type: 'text', text: 'That is all.' } : use],
    stop_reason: isLast ? 'end_turn' : 'tool_use',
    usage,
  };
  return eventRecord('claude.completed.v1', 'millrace.claude.completed.v1', {
    id: `${tenant}:${callId}:completed`,
    key: `${tenant}/${id}`,
    traceparent: traceparentOf(id),
    data: {
      tenant,
      workflow_id: id,
      created_at: createdAt,
      call_id: callId,
      outcome: 'answered',
      model: 'claude-sonnet-5-5',
      message,
      kept: true,
      usage,
      attempts: [],
      finished_at: createdAt,
    },
  });
}

function completed(id, n, key) {
  const callId = `${id}/t${n}`;
  const token = tokenOf(id, callId, key);
  return eventRecord('tools.completed.v1', 'millrace.tool.completed.v1', {
    id: `${tenant}:${callId}:completed`,
    key: id,
    traceparent: traceparentOf(id),
    data: { workflow_id: id, call_id: callId, token, output: { saw: { turn: n } }, attempts: 1 },
  });
}
