import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  claudeCalls,
  FaultedNight,
  jobsAskedFor,
  mayCutOff,
  type ClaudeCall,
  type HandedOver,
  type Suffered,
} from './faulted-night.ts';
import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  say,
  uniqueId,
  until,
  type ConsumedRecord,
  type ShownJob,
} from './running-stack.ts';

jest.setTimeout(420_000);

/** A crash costs a call its lease and one more dispatch; Kafka needs some seconds to come back. */
const endedWithinMs = 90_000;
/** From the first fault to the last end: four minutes on a machine of its own. */
const nightMsMax = 240_000;

const kills = [
  { victim: 'ingest-1', signal: 'SIGKILL' },
  { victim: 'claude-worker-1', signal: 'SIGKILL' },
  { victim: 'agent-orchestrator-1', signal: 'SIGKILL' },
  { victim: 'tool-runner-1', signal: 'SIGKILL' },
  { victim: 'webhook-dispatcher-1', signal: 'SIGKILL' },
  { victim: 'kafka', signal: 'SIGKILL' },
  { victim: 'postgres', signal: 'SIGKILL' },
  // The orderly end of Postgres: at SIGTERM it would wait until every pool had let go.
  { victim: 'postgres', signal: 'SIGINT' },
  { victim: 'claude-worker-2', signal: 'SIGSTOP' },
] as const;
const stops = [
  { victim: 'ingest-2', signal: 'SIGTERM' },
  { victim: 'claude-worker-2', signal: 'SIGTERM' },
  { victim: 'agent-orchestrator-2', signal: 'SIGTERM' },
  { victim: 'tool-runner-2', signal: 'SIGTERM' },
  { victim: 'webhook-dispatcher-2', signal: 'SIGTERM' },
  { victim: 'kafka', signal: 'SIGTERM' },
] as const;

describe('200 jobs through a night of faults', () => {
  const mark = uniqueId('night');
  let receiver: WebhookReceiver;
  let finished: { records: ConsumedRecord[]; stop: () => Promise<void> };
  let crashed: HandedOver[];
  let stopped: HandedOver[];
  let jobs: ReadonlyMap<string, ShownJob>;
  let calls: readonly ClaudeCall[];
  let faults: readonly Suffered[];
  let nightMs: number;

  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    const night = new FaultedNight({ mark, callback: receiver.url(`/${mark}`) });
    const beganMs = performance.now();
    for (const fault of kills) await night.suffer(fault);
    crashed = [...night.handedOver];
    await Promise.all(crashed.map(({ id }) => ended(id, endedWithinMs)));
    for (const fault of stops) await night.suffer(fault);
    stopped = night.handedOver.slice(crashed.length);
    const shown = night.handedOver.map(({ id }) => ended(id, endedWithinMs));
    jobs = new Map((await Promise.all(shown)).map((job) => [job.id, job]));
    nightMs = performance.now() - beganMs;
    calls = await claudeCalls(mark);
    faults = night.faults;
    // Not before: a group that lives through the night may come together minutes after it.
    finished = await consume('jobs.finished.v1');
  });
  afterAll(async () => {
    await finished.stop();
    await receiver.close();
  });

  it('hands over what it says', () => {
    expect(jobs.size).toBe(jobsAskedFor(kills.length + stops.length));
    expect(jobs.size).toBeGreaterThanOrEqual(200);
  });

  it('is over within some minutes', () => {
    const seconds = Math.round(nightMs / 1_000);
    say(`${faults.length} faults and the ends of ${jobs.size} jobs took ${seconds} s`);
    expect(nightMs).toBeLessThanOrEqual(nightMsMax);
  });

  it('ends every acknowledged job', () => {
    const others = [...jobs.values()].filter(({ status }) => status !== 'succeeded');
    // A call that two crashes cut off is not sent a third time: it may have been paid twice.
    for (const job of others) {
      expect(job).toMatchObject({ status: 'failed', error: { code: 'outcome_unknown' } });
      expect(unknownAttempts(job)).toBeGreaterThan(1);
    }
    expect(others.length).toBeLessThan(jobs.size / 20);
  });

  it('tells each end once, or the same again', async () => {
    const events = await until('every terminal event', 60_000, () => {
      const ours = finished.records.filter(({ key }) => jobs.has(key ?? ''));
      return new Set(ours.map(({ key }) => key)).size === jobs.size ? ours : undefined;
    });
    expect(new Set(events.map(endOf)).size).toBe(jobs.size);
    for (const { key, headers } of events) {
      expect(headers['ce_type']).toBe(`millrace.job.${jobs.get(key ?? '')?.status}.v1`);
    }
  });

  it('delivers each webhook under one id, and it says what the API says', async () => {
    await until('every webhook', 60_000, () => {
      const told = new Set(receiver.at(`/${mark}`).map(({ jobId }) => jobId));
      return told.size === jobs.size;
    });
    const webhooks = receiver.at(`/${mark}`);
    expect(new Set(webhooks.map(({ headers }) => headers['webhook-id'])).size).toBe(jobs.size);
    expect(new Set(webhooks.map(({ body }) => body)).size).toBe(jobs.size);
    const told = webhooks.map(({ body, jobId }): [string, string] => {
      const { status }: { status: string } = JSON.parse(body);
      return [jobId, status];
    });
    const shown = [...jobs.values()].map(({ id, status }): [string, string] => [id, status]);
    expect(new Map(told)).toEqual(new Map(shown));
  });

  it('pays no call twice but those in flight at a kill, each labelled', () => {
    for (const job of jobs.values()) {
      const asked = calls.filter(({ jobId }) => jobId === job.id).length;
      expect(asked).toBeLessThanOrEqual(job.attempts?.length ?? 0);
      expect(asked).toBeLessThanOrEqual(1 + unknownAttempts(job));
    }
  });

  it('pays a call once more for each kill that found it in flight, and for nothing else', () => {
    const sent = Map.groupBy(calls, ({ jobId }) => jobId);
    const unexplained = [...sent].flatMap(([jobId, sends]) => {
      const cuts = faults.filter((fault) => sends.some((send) => mayCutOff(fault, send)));
      return sends.length <= 1 + cuts.length ? [] : [{ jobId, sends, faults }];
    });
    expect(unexplained).toEqual([]);
    // A night in which no kill found a call in flight shows nothing.
    expect(calls.some((call) => faults.some((fault) => mayCutOff(fault, call)))).toBe(true);
  });

  it('pays no call twice at a SIGTERM', () => {
    const asked = stopped.map(({ id }) => calls.filter(({ jobId }) => jobId === id).length);
    expect(asked).toEqual(stopped.map(() => 1));
  });

  it('runs the turns of a session one after another, in the order of acceptance', () => {
    const sessions = Map.groupBy([...crashed, ...stopped], ({ session }) => session);
    sessions.delete(undefined);
    expect(sessions.size).toBeGreaterThan(1);
    for (const turns of sessions.values()) expectInOrder(turns, { jobs, calls });
  });
});

function expectInOrder(
  turns: readonly HandedOver[],
  o: { jobs: ReadonlyMap<string, ShownJob>; calls: readonly ClaudeCall[] },
): void {
  const before: string[] = [];
  let endedAt = '';
  for (const { id } of turns) {
    const job = o.jobs.get(id);
    for (const call of o.calls.filter(({ jobId }) => jobId === id)) {
      expect(call.earlier).toEqual(before);
    }
    expect(endedAt <= (job?.attempts?.[0]?.started_at ?? '')).toBe(true);
    endedAt = job?.attempts?.at(-1)?.ended_at ?? '';
    if (job?.status === 'succeeded') before.push(id);
  }
}

function unknownAttempts(job: ShownJob): number {
  return job.attempts?.filter(({ outcome }) => outcome === 'unknown').length ?? 0;
}

/** What an end says, so that two different ends of one job are two. */
function endOf(event: ConsumedRecord): string {
  const data: { finished_at: string } = JSON.parse(event.value?.toString() ?? '');
  return [event.key, event.headers['ce_id'], event.headers['ce_type'], data.finished_at].join(' ');
}
