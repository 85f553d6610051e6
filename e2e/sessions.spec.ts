import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { claudeCalls, type ClaudeCall } from './faulted-night.ts';
import {
  consume,
  pidOf,
  produce,
  readyReplicas,
  stack,
  uniqueId,
  until,
  type ConsumedRecord,
} from './running-stack.ts';

jest.setTimeout(240_000);

/** The stand-in keeps its last 1,000 calls: these, their retries, and what two kills repeat. */
const campaign = { seed: 20_261_124, sessions: 20, turns: 30, submitters: 8 };
const endedWithinMs = 120_000;

interface Turn {
  readonly id: string;
  readonly session: string;
  readonly by: 'http' | 'kafka';
  readonly isCancelled: boolean;
  /** What the stand-in plays before it answers. */
  readonly fault: string;
}

interface Attempt {
  readonly outcome: string;
  readonly started_at: string;
  readonly ended_at: string;
}

/** A turn with its number and its end, as the topics tell them. */
interface EndedTurn extends Turn {
  readonly seq: number;
  readonly status: string;
  readonly code: string | undefined;
  readonly attempts: readonly Attempt[];
}

describe(`${campaign.sessions} sessions of ${campaign.turns} turns by two intakes`, () => {
  const mark = uniqueId('sessions');
  let requested: { records: ConsumedRecord[]; stop: () => Promise<void> };
  let finished: { records: ConsumedRecord[]; stop: () => Promise<void> };
  let sessions: ReadonlyMap<string, readonly EndedTurn[]>;
  let calls: readonly ClaudeCall[];

  beforeAll(async () => {
    [requested, finished] = await Promise.all([
      consume('claude.requested.v1'),
      consume('jobs.finished.v1'),
    ]);
    const turns = turnsOf(mark);
    const handingOver = handOver(turns, mark);
    await killInBetween(handingOver, () => requestsOf(mark).length);
    await until('every end', endedWithinMs, () => {
      const ended = new Set(finished.records.map(({ key }) => key));
      return turns.every(({ id }) => ended.has(id));
    });
    await until('every request', 20_000, () => {
      const asked = new Set(requested.records.map(({ headers }) => headers['ce_id']));
      return turns.every((turn) => askedBy(turn).some((id) => asked.has(id)));
    });
    const ended = turns.map((turn) => endOf(turn, { requested, finished }));
    sessions = Map.groupBy(ended, ({ session }) => session);
    calls = await claudeCalls(mark);
  });
  afterAll(async () => {
    await Promise.all([requested.stop(), finished.stop()]);
  });

  const requestsOf = (session: string) =>
    requested.records.filter(({ key }) => key?.startsWith(`default/${session}`));
  const inOrder = (list: readonly EndedTurn[]): EndedTurn[] => [...list].sort(bySeq);

  it('are numbered without a gap', () => {
    expect(sessions.size).toBe(campaign.sessions);
    for (const turns of sessions.values()) {
      const dense = Array.from({ length: campaign.turns }, (_, n) => n + 1);
      expect(inOrder(turns).map(({ seq }) => seq)).toEqual(dense);
    }
  });

  it('end each turn: with an answer, as cancelled, or cut off twice', () => {
    for (const { status, code, isCancelled, attempts } of [...sessions.values()].flat()) {
      if (status === 'cancelled') expect(isCancelled).toBe(true);
      else if (status === 'failed') expect([code, unknown(attempts) > 1]).toEqual(unknownTwice);
      else expect(status).toBe('succeeded');
    }
  });

  // That none begins before the last has ended is seen below: a call holds its answer's turn. The
  // times of attempts do not tell: a claim's is that of its transaction, some ms before its look.
  it('ask Claude in the order of the turns', () => {
    for (const turns of sessions.values()) {
      const numbers = new Map(turns.map(({ id, seq }) => [id, seq]));
      const asked = calls.flatMap(({ jobId }) => numbers.get(jobId) ?? []);
      expect(asked).toEqual([...asked].sort((one, other) => one - other));
    }
  });

  it('pay each turn once, but for what a kill cut off', () => {
    for (const { id, attempts } of [...sessions.values()].flat()) {
      const asked = calls.filter(({ jobId }) => jobId === id).length;
      expect(asked).toBeLessThanOrEqual(attempts.length);
      const failed = attempts.filter(({ outcome }) => outcome === 'failed').length;
      expect(asked - failed).toBeLessThanOrEqual(1 + unknown(attempts));
    }
  });

  it('show Claude the whole conversation, each time a little longer', () => {
    for (const turns of sessions.values()) {
      const before: string[] = [];
      for (const { id, status } of inOrder(turns)) {
        for (const call of calls.filter(({ jobId }) => jobId === id)) {
          expect(call.earlier).toEqual(before);
        }
        if (status === 'succeeded') before.push(id);
      }
    }
  });
});

const unknownTwice = ['outcome_unknown', true];

function bySeq(one: EndedTurn, other: EndedTurn): number {
  return one.seq - other.seq;
}

function unknown(attempts: readonly Attempt[]): number {
  return attempts.filter(({ outcome }) => outcome === 'unknown').length;
}

/** All turns, those of all sessions mixed; the same ones for the same seed. */
function turnsOf(mark: string): Turn[] {
  let state = campaign.seed;
  const random = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  const turns = Array.from({ length: campaign.sessions * campaign.turns }, (_, n): Turn => {
    const isFaulty = random() < 0.08;
    return {
      id: uniqueId('turn'),
      session: `${mark}-${n % campaign.sessions}`,
      by: random() < 0.5 ? 'http' : 'kafka',
      isCancelled: random() < 0.06,
      fault: isFaulty ? '[[fault:500 times=1]]' : '',
    };
  });
  const places = new Map(turns.map(({ id }) => [id, random()]));
  return turns.sort((one, other) => (places.get(one.id) ?? 0) - (places.get(other.id) ?? 0));
}

/** Several submitters at once, each at whatever intake. Resolves when all is acknowledged. */
async function handOver(turns: readonly Turn[], mark: string): Promise<void> {
  const left = [...turns];
  const submit = async (number: number): Promise<void> => {
    for (let n = number; ; n += 1) {
      const turn = left.shift();
      if (turn === undefined) return;
      await until(`the intake of ${turn.id}`, 60_000, () => isTaken(turn, mark, n));
      if (turn.isCancelled) await statusOf(`/v1/jobs/${turn.id}/cancel`, n, '{}');
    }
  };
  await Promise.all(Array.from({ length: campaign.submitters }, (_, n) => submit(n)));
}

async function isTaken(turn: Turn, mark: string, n: number): Promise<boolean> {
  const content = `Say a word. ${mark} job=${turn.id}; ${turn.fault}`;
  const params = { max_tokens: 64, messages: [{ role: 'user', content }] };
  const body = JSON.stringify({ job_id: turn.id, session_id: turn.session, params });
  if (turn.by === 'http') return (await statusOf('/v1/jobs', n, body)) === 202;
  const headers = { ce_id: turn.id, ce_type: 'millrace.job.submitted.v1', ce_source: 'e2e' };
  const message = { key: turn.id, value: body, headers };
  return produce('jobs.submitted.v1', [message]).then(
    () => true,
    () => false,
  );
}

/** @returns the status of one of the two intakes, or undefined when there was no answer. */
async function statusOf(path: string, n: number, body: string): Promise<number | undefined> {
  const url = stack.apiUrls[n % stack.apiUrls.length];
  const headers = {
    authorization: `Bearer ${stack.apiKey}`,
    'content-type': 'application/json',
  };
  const signal = AbortSignal.timeout(10_000);
  try {
    const response = await fetch(`${url}${path}`, { method: 'POST', headers, body, signal });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}

/** An intake and a worker die with -9 while turns come in. */
async function killInBetween(handingOver: Promise<void>, count: () => number): Promise<void> {
  for (const [victim, after] of [['ingest-1', 60], ['claude-worker-2', 120]] as const) {
    await until(`${after} requests`, 60_000, () => count() >= after);
    const pid = pidOf(victim);
    if (pid === undefined) throw new Error(`${victim} is not running`);
    process.kill(pid, 'SIGKILL');
    await until(`another ${victim}`, 60_000, () => ![undefined, pid].includes(pidOf(victim)));
  }
  await handingOver;
  await readyReplicas();
}

interface Told {
  readonly records: readonly ConsumedRecord[];
}

/**
 * The events that tell a turn's number. Of a job that was cancelled and has ended while its intake
 * was dead, before the request was published, there is the cancel alone.
 */
function askedBy({ id }: Turn): string[] {
  return [`default:${id}:requested`, `default:${id}:cancel-requested`];
}

function endOf(turn: Turn, o: { requested: Told; finished: Told }): EndedTurn {
  const asked = o.requested.records.find(({ headers }) =>
    askedBy(turn).some((id) => id === headers['ce_id']),
  );
  const end = o.finished.records.find(({ key }) => key === turn.id);
  const { session_seq: seq }: { session_seq: number } = JSON.parse(String(asked?.value));
  const { status, error, attempts }: {
    status: string;
    error?: { code: string };
    attempts: Attempt[];
  } = JSON.parse(String(end?.value));
  return { ...turn, seq, status, code: error?.code, attempts };
}
