import { setTimeout as sleep } from 'node:timers/promises';

import {
  assertNever,
  intakeTopicOf,
  type JobFinished,
  jobFinishedSchema,
  type JobId,
  jobIdSchema,
  type JobProgressed,
  jobSubmissionSchema,
  type OutgoingMessage,
  type TenantId,
  tenantIdSchema,
  topics,
} from '@millrace/contracts';
import type { EventRecord, RawRecord } from '@millrace/kafka';
import type { Pool } from '@millrace/postgres';
import type { PostgresProxy } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { derivedJobId } from './core/job-ids.ts';
import { ProblemError } from './core/problem.ts';
import { IntakeMember, type MemberOptions } from './intake-member.fixture.ts';
import type { Plan, PlannedSubmission, Step, TenantName } from './intake-plans.fixture.ts';

/** What is handed over: by HTTP once or often, or as a record that comes twice. */
export interface Handed {
  readonly planned: PlannedSubmission;
  readonly tenant: TenantId;
  /** Two that differ in it are two jobs. */
  readonly content: string;
  readonly body: object;
  readonly runAtMs: number;
  readonly completeByMs: number;
}

/** A submission that came to ingest: from then on its job may be there. */
export interface Begun {
  readonly handed: Handed;
  readonly atMs: number;
  /** Of its job, once that is known. */
  id: JobId | null;
}

export interface Acknowledged {
  readonly handed: Handed;
  readonly id: JobId;
}

/** An event, and whether it may be the second one of its job: what comes late. */
type ToldEvent =
  | { readonly kind: 'finished'; readonly record: EventRecord<JobFinished> }
  | { readonly kind: 'progressed'; readonly record: EventRecord<JobProgressed> };

interface TopicRecord {
  readonly handed: Handed;
  readonly record: RawRecord;
}

export interface WorldOptions extends Omit<MemberOptions, 'tell'> {
  readonly plan: Plan;
  readonly sql: Pool;
  /** Until all that was accepted must have ended, once nothing breaks any more. */
  readonly quietWithinMs: number;
  /** Is told what came about. */
  readonly happened: Set<string>;
}

/** Statements whose answers, or which themselves, are lost. */
const statements = [
  'insert_jobs',
  'insert_jobs_with_outbox',
  'insert_turns',
  'insert_waiting_jobs',
  'end_jobs',
  'ingest_outbox_delete',
  'INSERT INTO ingest.outbox',
  'INSERT INTO ingest.job_events',
];
/** Of those that are never part of a transaction: when they are answered they are committed. */
const commits = ['insert_jobs', 'insert_jobs_with_outbox', 'insert_waiting_jobs'];
/** Of those that are part of one. */
const transactions = ['insert_turns', 'DELETE FROM ingest.releases'];

/**
 * Two replicas of ingest over one Postgres, their clients, the topic of each tenant, and whoever
 * runs what ingest asks for. `takes` are begun and not waited for, so that all of it meets.
 */
export class IntakeWorld {
  readonly wrongs: string[] = [];
  readonly begun: Begun[] = [];
  readonly acknowledged: Acknowledged[] = [];
  readonly conflicts: Handed[] = [];
  readonly deadLetters: Handed[] = [];
  /** Cancels that were answered, with the status in the answer. */
  readonly cancels: { readonly name: string; readonly status: string }[] = [];
  /** Everything that Kafka was given, by `ce_id`: its values. */
  readonly published = new Map<string, Set<string>>();
  /** When a job's request was published first. */
  readonly toldAtMs = new Map<string, number>();
  /** Requests by their jobs. */
  readonly asked = new Map<string, OutgoingMessage>();
  readonly cancelAsked = new Set<string>();
  /** What the runner made of its jobs; and how ingest itself ended those that had none. */
  readonly runnerEnds = new Map<string, JobFinished>();
  readonly ownEnds = new Map<string, JobFinished>();
  readonly handed: readonly Handed[];
  readonly happened: Set<string>;
  private readonly members: IntakeMember[] = [];
  private readonly ops: Promise<void>[] = [];
  private readonly stopping: Promise<void>[] = [];
  private readonly coming: Readonly<Record<TenantName, TopicRecord[]>>;
  private readonly taking: Record<TenantName, Promise<void>>;
  private readonly events: ToldEvent[] = [];
  private isOver = false;

  constructor(private readonly o: WorldOptions) {
    this.happened = o.happened;
    const nowMs = Date.now();
    this.handed = o.plan.submissions.map((planned) => handedOf(planned, nowMs));
    this.coming = { default: this.topicOf('default', nowMs), other: this.topicOf('other', nowMs) };
    this.taking = { default: Promise.resolve(), other: Promise.resolve() };
  }

  async begin(): Promise<void> {
    await this.o.sql.query(`TRUNCATE ingest.jobs, ingest.job_keys, ingest.sessions,
      ingest.session_turns, ingest.releases, ingest.silent_jobs, ingest.job_events, ingest.outbox,
      model.changes`);
    await Promise.all([this.join(0), this.join(1)]);
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'submit': {
        const handed = pickOf(this.handed.filter(byHttp), step.pick);
        if (handed === undefined) return;
        for (let n = 0; n < step.times; n += 1) this.start(this.submit(handed, step.to + n));
        return;
      }
      case 'records':
        return this.deliver(step.of, step.count, step.to);
      case 'cancel': {
        const job = pickOf(this.acknowledged, step.pick);
        if (job !== undefined) this.start(this.cancel(job, step.to));
        return;
      }
      case 'run': {
        const open = [...this.asked.keys()].filter((name) => !this.runnerEnds.has(name));
        const name = pickOf(open, step.pick);
        if (name !== undefined) this.run(name, step.how);
        return;
      }
      case 'progress':
        return this.progress(pickOf([...this.asked.keys()], step.pick));
      case 'contradict':
        return this.contradict(step.pick, step.to);
      case 'events': {
        const at = this.events.length === 0 ? 0 : step.pick % this.events.length;
        return this.start(this.hear(this.events.splice(at, step.count), step.to));
      }
      case 'die':
        return step.after === null ? this.die(this.member(step.who)) : this.doom(step);
      case 'break':
        return this.break(step);
      case 'wait':
        return void (await sleep(step.ms));
      case 'settle':
        return void (await Promise.all(this.ops));
      default:
        assertNever(step);
    }
  }

  /** All faults are over: whatever was accepted has to end now. */
  async close(): Promise<void> {
    await Promise.all(this.ops);
    await Promise.all([0, 1].map((who) => this.replace(who)));
    // A client that got no answer comes again.
    const unanswered = this.begun.filter(({ handed, id }) => id === null && byHttp(handed));
    for (const handed of new Set(unanswered.map((begun) => begun.handed))) {
      const { key, name } = handed.planned;
      if (name !== null || key !== null) await this.submit(handed, 0);
    }
    const giveUpAtMs = Date.now() + this.o.quietWithinMs;
    for (;;) {
      this.deliver('default', 5, 0);
      this.deliver('other', 5, 1);
      await Promise.all([this.taking.default, this.taking.other]);
      for (const name of this.asked.keys()) this.run(name, 'succeeded');
      await this.hear(this.events.splice(0), 0);
      if (this.coming.default.length + this.coming.other.length === 0) {
        if (await this.isQuiet()) return;
        if (Date.now() > giveUpAtMs) return void this.wrongs.push(await this.unrest());
      }
      await sleep(10);
    }
  }

  async leave(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.ops);
    this.stopping.push(...this.members.map((member) => member.stop()));
    await Promise.all(this.stopping);
  }

  private start(op: Promise<void>): void {
    this.ops.push(op.catch((error: unknown) => void this.wrongs.push(String(error))));
  }

  private async submit(handed: Handed, to: number): Promise<void> {
    const { planned, tenant } = handed;
    const begun: Begun = { handed, atMs: Date.now(), id: null };
    this.begun.push(begun);
    const member = this.member(to % 2);
    try {
      const { replayed, view } = await member.intake.take({
        tenant,
        submission: jobSubmissionSchema.parse(handed.body),
        idempotencyKey: planned.key,
        context: ROOT_CONTEXT,
      });
      // Its client never hears of it.
      if (member.isDead) return;
      begun.id = view.id;
      this.acknowledged.push({ handed, id: view.id });
      this.happened.add(replayed ? 'replayed' : 'acknowledged');
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      this.refused(handed, error);
    }
  }

  private refused(handed: Handed, { code, message }: ProblemError): void {
    switch (code) {
      case 'not_durable':
        return void this.happened.add('not durable');
      case 'idempotency_conflict':
        this.happened.add('a conflict');
        return void this.conflicts.push(handed);
      case 'invalid_request':
        if (handed.completeByMs <= Date.now()) return void this.happened.add('too late');
        break;
      default:
    }
    this.wrongs.push(`${nameOf(handed.tenant, handed.planned.name)}: ${code}, ${message}`);
  }

  /** As a partition is: slice after slice, to one member at a time. */
  private deliver(of: TenantName, count: number, to: number): void {
    const slice = this.coming[of].splice(0, count);
    if (slice.length === 0) return;
    const taken = this.taking[of].then(() => this.handle(slice, to));
    this.taking[of] = taken.catch((error: unknown) => void this.wrongs.push(String(error)));
    this.ops.push(this.taking[of]);
  }

  private async handle(slice: readonly TopicRecord[], first: number): Promise<void> {
    const atMs = Date.now();
    for (const { handed } of slice) this.begun.push({ handed, atMs, id: null });
    const records = slice.map(({ record }) => record);
    for (let tries = 0; tries < 300; tries += 1) {
      const member = this.member((first + tries) % 2);
      try {
        const result = await member.records.ofTenant(records);
        if (member.isDead) throw new Error('it died before it published');
        for (const message of result.publish ?? []) this.tell(message);
        for (const { code, detail, record } of result.deadLetters ?? []) {
          const { handed } = slice.find((each) => each.record === record)!;
          if (code === 'idempotency_conflict') this.deadLetters.push(handed);
          else this.wrongs.push(`${handed.content} is a dead letter: ${code}, ${detail}`);
        }
        return;
      } catch {
        this.happened.add('records came again');
        if (this.o.parts.movesOffsetsEarly) return;
        await sleep(5);
      }
    }
    throw new Error('records were never taken');
  }

  private async cancel({ id, handed: { tenant } }: Acknowledged, to: number): Promise<void> {
    const name = nameOf(tenant, id);
    const member = this.member(to);
    try {
      const view = await member.cancel.request({ tenant, id }, ROOT_CONTEXT);
      if (member.isDead) return;
      if (view === null) this.wrongs.push(`${name} is not found, and was acknowledged`);
      else this.cancels.push({ name, status: view.status });
    } catch (error) {
      if (member.isDead) return;
      if (!(error instanceof ProblemError)) throw error;
      if (error.code !== 'unavailable') this.wrongs.push(`the cancel of ${name}: ${error.code}`);
      this.happened.add('a cancel without answer');
    }
  }

  /** The runner has one end of each job, and tells it as often as it likes. */
  private run(name: string, how: 'succeeded' | 'failed'): void {
    const request = this.asked.get(name);
    if (request === undefined || this.runnerEnds.has(name)) return;
    const end = endOf(request, this.cancelAsked.has(name) ? 'cancelled' : how);
    this.runnerEnds.set(name, end);
    this.happened.add(end.status);
    this.finish(end);
  }

  private finish(end: JobFinished): void {
    const id = `${end.tenant}:${end.job_id}:finished`;
    const type = `millrace.job.${end.status}.v1`;
    const record = eventRecord({ topic: topics.jobsFinished.name, id, type }, end);
    this.events.push({ kind: 'finished', record }, { kind: 'finished', record });
  }

  private progress(name: string | undefined): void {
    const request = name === undefined ? undefined : this.asked.get(name);
    if (request === undefined) return;
    const { job_id, tenant, created_at } = endOf(request, 'succeeded');
    const at = new Date().toISOString();
    const data = { kind: 'running', tenant, job_id, created_at, status: 'running', at } as const;
    const type = 'millrace.job.progressed.v1';
    const head = { topic: topics.jobsProgressed.name, id: `${name}:running`, type };
    const record = eventRecord<JobProgressed>(head, { ...data, attempt: 1 });
    this.events.push({ kind: 'progressed', record }, { kind: 'progressed', record });
  }

  /** Somebody tells another end of a job that has ended: the first one holds. */
  private async contradict(pick: number, to: number): Promise<void> {
    const { rows } = await this.o.sql.query<{ tenant: string; id: string; status: string }>(
      `SELECT tenant, id, status FROM ingest.jobs
       WHERE status IN ('succeeded', 'failed', 'cancelled', 'expired') ORDER BY tenant, id`,
    );
    const row = pickOf(rows, pick);
    const name = row === undefined ? '' : nameOf(row.tenant, row.id);
    const told = this.runnerEnds.get(name) ?? this.ownEnds.get(name);
    if (row === undefined || told === undefined) return;
    const status = row.status === 'succeeded' ? 'failed' : 'succeeded';
    const type = `millrace.job.${status}.v1`;
    const head = { topic: topics.jobsFinished.name, id: `${name}:late`, type };
    const record = eventRecord<JobFinished>(head, { ...told, status });
    this.happened.add('another end');
    this.start(this.hear([{ kind: 'finished', record }], to));
  }

  private async hear(told: readonly ToldEvent[], first: number): Promise<void> {
    const finished = told.flatMap((each) => (each.kind === 'finished' ? [each.record] : []));
    const progressed = told.flatMap((each) => (each.kind === 'progressed' ? [each.record] : []));
    let lost: unknown;
    for (let tries = 0; tries < 300 && told.length > 0; tries += 1) {
      const member = this.member((first + tries) % 2);
      try {
        if (progressed.length > 0) await member.progressed.progress(progressed);
        if (finished.length === 0) return;
        const { deadLetters = [] } = await member.finished.end(finished);
        if (deadLetters.length > 0) this.wrongs.push('an end is a dead letter');
        return;
      } catch (error) {
        lost = error;
        await sleep(5);
      }
    }
    if (told.length > 0) throw new Error(`events were never taken: ${String(lost)}`);
  }

  private tell(message: OutgoingMessage): void {
    const { headers, value } = message;
    const { ce_id: ceId = '', ce_type: type = '', ce_tenant: tenant = '' } = headers;
    this.published.set(ceId, (this.published.get(ceId) ?? new Set()).add(String(value)));
    const data = JSON.parse(String(value));
    if (data.tenant !== tenant) this.wrongs.push(`${ceId} is told to ${tenant}`);
    if (type === 'millrace.claude.requested.v1') {
      const name = nameOf(tenant, data.call_id);
      if (!this.asked.has(name)) this.toldAtMs.set(name, Date.now());
      this.asked.set(name, message);
    } else if (type === 'millrace.claude.cancel-requested.v1') {
      this.cancelAsked.add(nameOf(tenant, data.call_id));
    } else {
      const end = jobFinishedSchema.parse(data);
      const name = nameOf(tenant, end.job_id);
      if (!this.ownEnds.has(name)) this.finish(end);
      this.ownEnds.set(name, end);
    }
  }

  private break({ lost, of, who }: Extract<Step, { kind: 'break' }>): void {
    const { proxy } = this.member(who);
    const text = statements[of % statements.length] ?? '';
    const within = transactions[of % transactions.length] ?? '';
    switch (lost) {
      case 'answer':
        // Inside a transaction an answer is not the last one: the proxy would hold it for ever.
        return proxy.cutAfter(commits[of % commits.length] ?? '');
      case 'statement':
        return proxy.resetAt(text);
      case 'commit':
        void proxy.cutBeforeCommitOf(within).then(() => this.happened.add('a lost commit'));
        return;
      default:
        assertNever(lost);
    }
  }

  private async die(member: IntakeMember): Promise<void> {
    const who = this.members.indexOf(member);
    if (who < 0) return;
    this.happened.add('a death');
    member.die();
    this.note(member.proxy);
    this.stopping.push(member.stop());
    await this.join(who);
  }

  /** It dies when it does what it is to die by. */
  private doom({ after, who }: Extract<Step, { kind: 'die' }>): void {
    const member = this.member(who);
    const at = after ?? 0;
    const commit = commits[at % commits.length] ?? '';
    const within = transactions[at % transactions.length] ?? '';
    const caught =
      at % 3 > 0
        ? member.proxy.hold(commit, 'after')
        : member.proxy.holdCommitOf(within, at % 2 === 0 ? 'before' : 'during');
    void caught.then(() => {
      if (this.isOver) return member.die();
      this.happened.add('a death after a statement');
      if (this.members.includes(member)) this.start(this.die(member));
      else member.die();
    });
  }

  private async replace(who: number): Promise<void> {
    const member = this.member(who);
    this.note(member.proxy);
    await this.join(who);
    this.stopping.push(member.stop());
  }

  private note({ cuts, resets }: PostgresProxy): void {
    if (cuts > 0) this.happened.add('a lost answer');
    if (resets > 0) this.happened.add('a lost statement');
  }

  private async join(who: number): Promise<void> {
    const tell = (message: OutgoingMessage): void => this.tell(message);
    this.members[who] = await IntakeMember.start({ ...this.o, tell });
  }

  private member(who: number): IntakeMember {
    const member = this.members[who];
    if (member === undefined) throw new TypeError(`there is no member ${who}`);
    return member;
  }

  private async isQuiet(): Promise<boolean> {
    if (this.events.length > 0) return false;
    const { rows } = await this.o.sql.query<{ open: number }>(`SELECT (
      (SELECT count(*) FROM ingest.outbox) + (SELECT count(*) FROM ingest.releases) +
      (SELECT count(*) FROM ingest.jobs
       WHERE status NOT IN ('succeeded', 'failed', 'cancelled', 'expired')))::int AS open`);
    return rows[0]?.open === 0;
  }

  private async unrest(): Promise<string> {
    const { rows } = await this.o.sql.query<{ what: string }>(`
      SELECT 'the outbox holds ' || id AS what FROM ingest.outbox
      UNION ALL SELECT tenant || '/' || id || ' waits' FROM ingest.releases
      UNION ALL SELECT tenant || '/' || id || ' never ended' FROM ingest.jobs
        WHERE status NOT IN ('succeeded', 'failed', 'cancelled', 'expired')`);
    return rows.map(({ what }) => what).join(', ');
  }

  /** Each record in its order, and once more after some others. */
  private topicOf(of: TenantName, nowMs: number): TopicRecord[] {
    const { again } = this.o.plan;
    const handed = this.handed.filter((each) => !byHttp(each) && each.planned.tenant === of);
    const doubled = handed.flatMap((each, i) => {
      const one = { handed: each, record: recordOf(each, i, nowMs) };
      const by = (again[i % again.length] ?? 0) + 0.5;
      return [{ at: i, one }, { at: i + by, one }];
    });
    return doubled.sort((a, b) => a.at - b.at).map(({ one }) => one);
  }
}

/** A job's name, told apart from that of another tenant's. */
export function nameOf(tenant: string, id: string | null): string {
  return `${tenant}/${id ?? ''}`;
}

/** The id under which a submission makes a job, if it can be known. */
export function idOf({ handed, id }: Begun, clusterOf = recordPlaceOf): JobId | null {
  if (id !== null) return id;
  const { name } = handed.planned;
  if (name !== null) return jobIdSchema.parse(name);
  return byHttp(handed) ? null : clusterOf(handed);
}

const places = new WeakMap<Handed, JobId>();

function recordPlaceOf(handed: Handed): JobId | null {
  return places.get(handed) ?? null;
}

export function byHttp({ planned }: Handed): boolean {
  return planned.via === 'http';
}

function handedOf(planned: PlannedSubmission, nowMs: number): Handed {
  const { completeInMs, isBroken, name, runInMs, session } = planned;
  const runAtMs = runInMs === null ? 0 : nowMs + runInMs;
  const completeByMs = completeInMs === null ? Infinity : nowMs + (runInMs ?? 0) + completeInMs;
  const content = {
    prompt: `of ${planned.tenant}: ${planned.body}`,
    ...(session === null ? {} : { session_id: session }),
    ...(runInMs === null ? {} : { run_at: new Date(runAtMs).toISOString() }),
    ...(completeInMs === null ? {} : { complete_by: new Date(completeByMs).toISOString() }),
  };
  const named = name === null ? {} : { job_id: name };
  const tenant = tenantIdSchema.parse(planned.tenant);
  if (isBroken && name !== null && planned.via === 'kafka') {
    const body = { ...named, prompt: 5 };
    return { planned, tenant, content: 'broken', body, runAtMs: 0, completeByMs: Infinity };
  }
  const text = JSON.stringify(content);
  const body = { ...named, ...content, metadata: { content: text } };
  return { planned, tenant, content: text, body, runAtMs, completeByMs };
}

function recordOf(handed: Handed, offset: number, nowMs: number): RawRecord {
  const topic = intakeTopicOf(handed.tenant).name;
  const place = { topic, partition: 0, offset: String(offset), clusterId: 'cluster' };
  if (handed.planned.name === null) places.set(handed, derivedJobId(place));
  return {
    ...place,
    key: null,
    value: Buffer.from(JSON.stringify(handed.body)),
    headers: { ce_specversion: '1.0', ce_type: 'millrace.job.submitted.v1' },
    timestampMs: nowMs,
    context: ROOT_CONTEXT,
  };
}

function endOf({ value }: OutgoingMessage, status: JobFinished['status']): JobFinished {
  const { call_id, reply, session_id, tenant } = JSON.parse(String(value));
  return jobFinishedSchema.parse({
    tenant,
    job_id: call_id,
    type: 'message',
    status,
    session_id,
    attempts: [],
    created_at: reply.created_at,
    finished_at: new Date().toISOString(),
  });
}

function eventRecord<D>(
  head: { readonly topic: string; readonly id: string; readonly type: string },
  data: D,
): EventRecord<D> {
  const place = { partition: 0, offset: '0', key: null, timestampMs: 0, headers: {} };
  return { ...head, ...place, data, context: ROOT_CONTEXT };
}

function pickOf<T>(list: readonly T[], pick: number): T | undefined {
  return list[pick % Math.max(1, list.length)];
}
