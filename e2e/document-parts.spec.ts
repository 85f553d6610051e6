import { describe, expect, it, jest } from '@jest/globals';
import type { ClaudeCompleted } from '@millrace/contracts';
import { EventSource } from 'eventsource';

import { bodyOf, stepsOf, type ShownAgent } from './agent-runs.ts';
import { callsOf, sendsByPart, startParts, type StartedDocument } from './document-runs.ts';
import {
  consume,
  ended,
  pidOf,
  readyReplicas,
  stack,
  until,
  type ConsumedRecord,
} from './running-stack.ts';

jest.setTimeout(180_000);

/** Above the least that the API keeps in its cache, so that a prefix is worth marking. */
const longPrompt = 'Say what is said of weirs, races and wheels, and nothing else. '.repeat(80);
/** Of a job of 24 parts: they are joined by sixteens, and the two joins by one more. */
const joinsOf24 = 3;

const victims = [
  ...['agent-orchestrator-1', 'agent-orchestrator-2'],
  ...['claude-worker-1', 'claude-worker-2'],
];

interface ToldStep {
  readonly kind: string;
  readonly parts?: number;
  readonly done?: number;
  readonly of?: number;
}

/** The steps that a job's stream tells, to its end. */
async function streamedSteps(id: string): Promise<ToldStep[]> {
  const steps: ToldStep[] = [];
  let isOver = false;
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const source = new EventSource(`${stack.url}/v1/jobs/${id}/events`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
  });
  source.addEventListener('step', ({ data }) => void steps.push(JSON.parse(String(data))));
  source.addEventListener('job.succeeded', () => (isOver = true));
  try {
    await until('the end of the stream', 90_000, () => isOver);
    return steps;
  } finally {
    source.close();
  }
}

/** Sends of parts that are answered by now, and of those that the stand-in writes at. */
async function progressOf(started: StartedDocument) {
  const calls = await callsOf(started);
  const inFlight = calls.filter((call) => call.inFlight).length;
  return { inFlight, answered: calls.length - inFlight };
}

async function killAll(names: readonly string[]): Promise<void> {
  const pids = names.map((name) => pidOf(name));
  for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await until('all to be there again', 60_000, () =>
    names.every((name, i) => ![undefined, pids[i]].includes(pidOf(name))),
  );
  await readyReplicas();
}

describe('the parts of a document', () => {
  it('pay once for writing the prefix that they share', async () => {
    const started = await startParts({ parts: 8, prompt: longPrompt });
    const done = await ended(started.job.id);
    expect(done.status).toBe('succeeded');
    const parts = (await callsOf(started)).filter(({ part }) => part !== null);
    expect(parts).toHaveLength(8);
    const written = parts.map(({ usage }) => usage?.cache_creation_input_tokens ?? 0);
    const read = parts.map(({ usage }) => usage?.cache_read_input_tokens ?? 0);
    expect(written[0]).toBeGreaterThan(1_024);
    expect(written.slice(1)).toEqual(Array.from({ length: 7 }, () => 0));
    expect(read).toEqual([0, ...Array.from({ length: 7 }, () => written[0])]);
    const { usage } = await bodyOf<ShownAgent>(`/v1/jobs/${started.job.id}`);
    expect(usage).toMatchObject({
      cache_creation_input_tokens: written[0],
      cache_read_input_tokens: 7 * (written[0] ?? NaN),
    });
  });

  it('are told of one by one on the stream', async () => {
    const started = await startParts({ parts: 6 });
    const steps = await streamedSteps(started.job.id);
    expect(steps.filter(({ kind }) => kind === 'split')).toMatchObject([{ parts: 6 }]);
    const told = steps.filter(({ kind }) => kind === 'part_done');
    expect(told).toMatchObject([1, 2, 3, 4, 5, 6].map((done) => ({ done, of: 6 })));
  });

  it('that fail are asked about again, and the others are not', async () => {
    // One call of it fails with all its retries; the next one fails once, and is retried.
    const isBad = (n: number) => n === 20;
    const says = (n: number) => (isBad(n) ? '[[fault:500 times=7]]' : '');
    const started = await startParts({ parts: 24, says });
    const done = await ended(started.job.id, 120_000);
    expect(done.status).toBe('succeeded');
    const calls = await callsOf(started);
    const sends = sendsByPart(calls);
    const wanted = Array.from({ length: 24 }, (_, i) => [i + 1, isBad(i + 1) ? 8 : 1] as const);
    expect([...sends].toSorted(([a], [b]) => a - b)).toEqual(wanted);
    expect(calls.filter(({ part }) => part === null)).toHaveLength(joinsOf24);
    const made = await stepsOf(started.job.id, 'model_call');
    expect(made).toHaveLength(24 + 1 + joinsOf24);
    expect(made.filter(({ is_error: isError }) => isError === true)).toHaveLength(1);
  });

  it('are each paid once, or labelled, when all who work at them are killed', async () => {
    const completed = await consume('claude.completed.v1');
    const started = await startParts({ parts: 24, says: () => '[[fault:slow ms=3000]]' });
    const { id } = started.job;
    await until('calls in the middle of the parts', 60_000, async () => {
      const { answered, inFlight } = await progressOf(started);
      return answered > 0 && inFlight > 8;
    });
    await killAll(victims);
    const done = await ended(id, 120_000);
    expect(done.status).toBe('succeeded');

    const calls = await callsOf(started);
    const sends = sendsByPart(calls);
    expect([...sends.keys()].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 24 }, (_, i) => i + 1),
    );
    // No part and no join was asked for anew: what the kill cut off is an attempt of its call.
    const made = await stepsOf(id, 'model_call');
    expect(made).toHaveLength(24 + joinsOf24);
    const labelled = await until('the end of each call', 30_000, () => {
      const found = unknownAttempts(completed.records, id);
      return found.size === made.length && found;
    });
    await completed.stop();
    for (const call of made) {
      const sent = sends.get(partOf(call.input) ?? NaN) ?? 1;
      expect(sent).toBeLessThanOrEqual(1 + (labelled.get(call.id) ?? NaN));
    }
    // A kill that cut nothing off would show nothing.
    expect([...sends.values()].some((sent) => sent > 1)).toBe(true);
  });
});

/** The number of a part by where its parameters lie; null: a join has them in its call. */
function partOf(input: unknown): number | null {
  const index = typeof input === 'string' ? /\.(\d+)$/.exec(input)?.[1] : undefined;
  return index === undefined ? null : Number(index) + 1;
}

/** Attempts that may have been paid for and came to nothing, of each call of a run that ended. */
function unknownAttempts(records: readonly ConsumedRecord[], id: string): Map<string, number> {
  return new Map(
    records.flatMap(({ value }) => {
      const { attempts, call_id, workflow_id }: ClaudeCompleted = JSON.parse(String(value));
      if (workflow_id !== id) return [];
      return [[call_id, attempts.filter(({ outcome }) => outcome === 'unknown').length]];
    }),
  );
}
