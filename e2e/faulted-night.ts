import { setTimeout as delay } from 'node:timers/promises';

import { pidOf, produce, readyReplicas, stack, uniqueId, until } from './running-stack.ts';

/** Of each way, handed over before a fault; the sessions' turns and half as many come after it. */
const jobsBeforeFault = 4;
const jobsAfterFault = 2;
const sessionsByHttp = 2;
const sessionsByKafka = 1;
/** Longer than the lease of the stories' workers: what is stopped so long has lost its rows. */
const stoppedMs = 4_500;
const acceptedWithinMs = 60_000;

export interface Fault {
  readonly victim: string;
  readonly signal: 'SIGKILL' | 'SIGSTOP' | 'SIGINT' | 'SIGTERM';
}

/** A fault that was suffered: from when until when the victim did not serve. */
export interface Suffered extends Fault {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** An acknowledged job, in the order of acceptance within its session. */
export interface HandedOver {
  readonly id: string;
  readonly session: string | undefined;
}

/** One call as the stand-in was asked for it. */
export interface ClaudeCall {
  readonly jobId: string;
  /** The jobs of the session's earlier turns that the conversation holds. */
  readonly earlier: readonly string[];
  readonly atMs: number;
  /** Infinity while it is in flight. */
  readonly endedAtMs: number;
}

export function jobsAskedFor(faults: number): number {
  const perFault = 2 * jobsBeforeFault + 2 * jobsAfterFault + sessionsByHttp + sessionsByKafka;
  return faults * perFault;
}

/**
 * Hands over jobs by HTTP and by Kafka, some streamed, some as turns of sessions, while one process
 * after the other suffers a fault.
 */
export class FaultedNight {
  readonly handedOver: HandedOver[] = [];
  readonly faults: Suffered[] = [];
  private readonly mark: string;
  private readonly callback: string;
  private submitted = 0;

  constructor({ mark, callback }: { mark: string; callback: string }) {
    this.mark = mark;
    this.callback = callback;
  }

  /** Resolves when the victim serves again; what it had to do may go on. */
  async suffer({ victim, signal }: Fault): Promise<void> {
    const pid = pidOf(victim);
    if (pid === undefined) throw new Error(`${victim} is not running`);
    await Promise.all([this.byHttp(jobsBeforeFault), this.byKafka(jobsBeforeFault)]);
    const turns = this.takeTurns();
    const fromMs = Date.now();
    process.kill(pid, signal);
    await Promise.all([turns, this.byHttp(jobsAfterFault), this.byKafka(jobsAfterFault)]);
    if (signal === 'SIGSTOP') {
      await delay(stoppedMs);
      process.kill(pid, 'SIGCONT');
    } else {
      await until(`another ${victim}`, 60_000, () => ![undefined, pid].includes(pidOf(victim)));
    }
    await readyReplicas();
    this.faults.push({ victim, signal, fromMs, untilMs: Date.now() });
  }

  /** One turn of each session; its next one is handed over when this one is acknowledged. */
  private async takeTurns(): Promise<void> {
    for (let n = 1; n <= sessionsByHttp; n += 1) await this.submit(`${this.mark}-http-${n}`);
    for (let n = 1; n <= sessionsByKafka; n += 1) {
      const session = `${this.mark}-kafka-${n}`;
      await this.publish([{ id: uniqueId('night'), session }]);
    }
  }

  private async byHttp(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.submit(undefined)));
  }

  private byKafka(count: number): Promise<void> {
    return this.publish(
      Array.from({ length: count }, () => ({ id: uniqueId('night'), session: undefined })),
    );
  }

  /** Tries until it is acknowledged, at whatever replica, as a caller with a key may. */
  private async submit(session: string | undefined): Promise<void> {
    const id = uniqueId('night');
    const body = JSON.stringify(this.jobOf(id, session));
    await until(`a 202 for ${id}`, acceptedWithinMs, async () => {
      this.submitted += 1;
      const url = stack.apiUrls[this.submitted % stack.apiUrls.length];
      const status = await post(`${url}/v1/jobs`, body);
      if (status !== undefined && status !== 202 && status !== 503) {
        throw new Error(`the job was answered with ${status}`);
      }
      return status === 202;
    });
    this.handedOver.push({ id, session });
  }

  private async publish(jobs: readonly HandedOver[]): Promise<void> {
    const messages = jobs.map(({ id, session }) => ({
      key: session ?? id,
      value: JSON.stringify(this.jobOf(id, session)),
      headers: { ce_id: id, ce_type: 'millrace.job.submitted.v1', ce_source: 'e2e' },
    }));
    await until('the broker takes the jobs', acceptedWithinMs, async () => {
      // Records that came through before the error are there twice: the same jobs.
      return produce('jobs.submitted.v1', messages).then(
        () => true,
        () => false,
      );
    });
    this.handedOver.push(...jobs);
  }

  /** Every second one is streamed, which takes its time: the stand-in writes as a model does. */
  private jobOf(id: string, session: string | undefined): object {
    const stream = this.handedOver.length % 2 === 0;
    const messages = [{ role: 'user', content: `Write something. ${this.mark} job=${id};` }];
    return {
      job_id: id,
      params: { stream, max_tokens: 512, messages },
      callback_url: this.callback,
      ...(session === undefined ? {} : { session_id: session }),
    };
  }
}

/** @returns the status, or undefined when there was no answer. */
async function post(url: string, body: string): Promise<number | undefined> {
  const headers = {
    authorization: `Bearer ${stack.apiKey}`,
    'content-type': 'application/json',
  };
  const request = { method: 'POST', headers, body, signal: AbortSignal.timeout(10_000) };
  try {
    const response = await fetch(url, request);
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}

/** Every call with this mark, as the stand-in wrote it down: it keeps the last 1,000. */
export async function claudeCalls(mark: string): Promise<ClaudeCall[]> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: JournalEntry[] = JSON.parse(await journal.text());
  return entries.flatMap(({ at, body, ended_at }) => {
    const asked = (body?.messages ?? []).filter(({ role }) => role === 'user');
    const ids = asked.map(({ content }) => jobIn(JSON.stringify(content), mark));
    const jobId = ids.at(-1);
    if (jobId === undefined) return [];
    const endedAtMs = ended_at === null ? Infinity : Date.parse(ended_at);
    const earlier = ids.slice(0, -1).map(String);
    return [{ jobId, earlier, atMs: Date.parse(at), endedAtMs }];
  });
}

interface JournalEntry {
  readonly at: string;
  readonly ended_at: string | null;
  readonly body?: { readonly messages?: { role: string; content: unknown }[] };
}

/** From the end of an answer to the commit of what it said: until then the call is in flight. */
const committedWithinMs = 1_000;
/** From a request that a process sent to its arrival at the stand-in: the machine is busy. */
const arrivesWithinMs = 500;
/** A third of the lease, from Postgres' return to a heartbeat: who comes too late lost its rows. */
const renewsWithinMs = 1_000;

/**
 * Whether a fault may have cut a call off. The caller's death does, and Postgres' absence: who
 * cannot reach it for a lease has lost what it runs. An orderly end of a service cuts nothing off.
 */
export function mayCutOff(fault: Suffered, call: ClaudeCall): boolean {
  const { fromMs, signal, untilMs, victim } = fault;
  const isWorkers = victim.startsWith('claude-worker') && signal !== 'SIGTERM';
  if (!isWorkers && victim !== 'postgres') return false;
  // What was claimed before Postgres went is sent without it, and a lease may end after it is back.
  const lastMs = victim === 'postgres' ? untilMs + renewsWithinMs : fromMs + arrivesWithinMs;
  return call.atMs <= lastMs && call.endedAtMs >= fromMs - committedWithinMs;
}

function jobIn(content: string, mark: string): string | undefined {
  return content.includes(mark) ? /job=([^;]+);/.exec(content)?.[1] : undefined;
}
