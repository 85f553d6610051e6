import { setImmediate as settled } from 'node:timers/promises';

import {
  claudeRequestedSchema,
  IdentityPayloadCodec,
  toolRequestedSchema,
  toolRunRequestedSchema,
  topics,
  workflowRequestedSchema,
  type OutgoingMessage,
} from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { prices, toolNamed } from './core/agent-run.fixture.ts';
import { Dice, must } from './core/dice.fixture.ts';
import { reducersWith } from './core/reducers.ts';
import { replay } from './core/replay.ts';
import { ToolTokens, type TicketOwner } from './core/tool-token.ts';
import { ForkSource } from './fork-source.ts';
import {
  forged,
  idOf,
  MemoryDatabase,
  MemoryWorkflows,
  type ShellBug,
} from './memory-workflows.fixture.ts';
import { OrchestratorTelemetry } from './orchestrator-telemetry.ts';
import { OutgoingMessages } from './outgoing-messages.ts';
import { StoredBodies } from './stored-bodies.ts';
import { WorkflowArrivals } from './workflow-arrivals.ts';
import { WorkflowEngine } from './workflow-engine.ts';
import { WorkflowEventsConsumer } from './workflow-events.consumer.ts';
import { firedTimer } from './workflow-timers.ts';

/*
 * A small world around the shell: the consumer, the engine and the reducers as they are, in three
 * processes over tables and topics in memory. One seed says who goes on when: what one process has
 * read is stale as it writes, processes crash between commit, publishing and offset, partitions
 * move while their records are under way, records come twice, late, or only when they are told
 * again, and strangers tell lies. After some time all behave, and then the run has to end.
 */

const jobId = 'job-1';
const createdAt = '2026-11-24T11:59:59.000Z';
const ownersCount = 3;
const codec = new IdentityPayloadCodec();
const reducers = reducersWith(prices);
const tools = [
  toolNamed('look'),
  toolNamed('ask', { via: 'worker', timeout_seconds: 30, retries: 1 }),
];
const silent: OrchestratorTelemetry = Object.assign(
  Object.create(OrchestratorTelemetry.prototype),
  { swapsLost() {}, timerTaken() {}, settled() {}, refused() {} },
);

/** Believes everyone. */
class BlindTokens extends ToolTokens {
  override read(token: string): TicketOwner {
    const [, tenant = '', day = '', attempt = ''] = token.split('.');
    return { tenant, day, attempt: Number(attempt) };
  }
}

/** A process. What it waits for is lost when it crashes. */
interface Owner {
  isAlive: boolean;
  readonly consumer: WorkflowEventsConsumer;
  readonly engine: WorkflowEngine;
}

interface Turn {
  readonly owner: Owner;
  readonly go: () => void;
}

/** One topic of one partition, and how far its group is. */
interface Topic {
  readonly log: OutgoingMessage[];
  committed: number;
  /** Of its assignment: who had it before commits nothing any more. */
  epoch: number;
  isBusy: boolean;
}

const consumed = ['workflows.requested.v1', 'claude.completed.v1', 'tools.completed.v1'] as const;

export interface ShellWorldOptions {
  readonly seed: number;
  readonly bug?: ShellBug;
}

export class ShellWorld {
  readonly #dice: Dice;
  readonly #database: MemoryDatabase;
  readonly #bug: ShellBug | undefined;
  readonly #messages: OutgoingMessages;
  readonly #tokens: ToolTokens;
  readonly #owners: Owner[];
  #turns: Turn[] = [];
  readonly #topics = new Map<string, Topic>(
    consumed.map((name) => [name, { log: [], committed: 0, epoch: 0, isBusy: false }]),
  );
  /** What others answer, by what they were asked: they do a thing once, and tell it as often. */
  readonly #answers = new Map<string, OutgoingMessage>();
  #mail: OutgoingMessage[] = [];
  readonly #published = new Set<string>();
  #behaves = false;
  #fault: Error | undefined;

  constructor({ bug, seed }: ShellWorldOptions) {
    this.#dice = new Dice(seed);
    this.#bug = bug;
    const key = Buffer.alloc(32, 6).toString('base64url');
    const isBlind = bug === 'a token is not looked at';
    this.#tokens = isBlind ? new BlindTokens(key) : new ToolTokens(key);
    this.#messages = new OutgoingMessages(codec, this.#tokens);
    this.#database = new MemoryDatabase(bug, this.#messages);
    this.#owners = Array.from({ length: ownersCount }, () => this.#newOwner());
  }

  /** One whole life of a run. Gives back how it ended. */
  async live(): Promise<string> {
    if (this.#dice.chance(0.02)) this.#mail.push(this.#cancel());
    this.#mail.push(this.#request());
    for (let turn = 0; turn < 400 && this.#status() === 'under way'; turn += 1) {
      this.#whim();
      await this.#pause();
    }
    this.#behaves = true;
    for (let turn = 0; turn < 3_000 && !this.#isQuiet(); turn += 1) {
      this.#duty();
      await this.#pause();
    }
    must(this.#isQuiet(), 'a run ends once what it asked for is answered');
    this.#checkEnd();
    return this.#status();
  }

  #newOwner(): Owner {
    const owner: { isAlive: boolean } = { isAlive: true };
    const turn = () => this.#turn(made);
    const workflows = new MemoryWorkflows({
      database: this.#database,
      reducers,
      messages: this.#messages,
      turn,
      publish: (messages) => messages.forEach((message) => this.#publish(message)),
    });
    const bodies = new StoredBodies({ get: () => Promise.resolve(null) }, codec);
    const forks = new ForkSource({ workflows, bodies, reducers });
    const arrivals = new WorkflowArrivals({ bodies, forks, tokens: this.#tokens, prices });
    const engine: WorkflowEngine = new WorkflowEngine({
      workflows,
      reducers,
      messages: this.#messages,
      telemetry: silent,
      publish: (messages) => this.#watch(this.#sendOutbox(made, messages)),
    });
    const made: Owner = Object.assign(owner, {
      engine,
      consumer: new WorkflowEventsConsumer(engine, arrivals),
    });
    return made;
  }

  #turn(owner: Owner): Promise<void> {
    return new Promise((go) => {
      if (owner.isAlive) this.#turns.push({ owner, go });
    });
  }

  /** Everything that can go on by itself has gone on. */
  async #pause(): Promise<void> {
    await settled();
    if (this.#fault !== undefined) throw this.#fault;
  }

  #watch(work: Promise<unknown>): void {
    work.catch((fault: unknown) => {
      this.#fault ??= fault instanceof Error ? fault : new Error(String(fault));
    });
  }

  #status(): string {
    const status = this.#database.held(jobId)?.status;
    return status === undefined || !isEnd(status) ? 'under way' : status;
  }

  #whim(): void {
    const dieRoll = this.#dice.roll();
    if (dieRoll < 0.5) this.#goOn();
    else if (dieRoll < 0.7) this.#step();
    else if (dieRoll < 0.86) this.#deliver();
    else if (dieRoll < 0.9) this.#crash();
    else if (dieRoll < 0.92) this.#rebalance();
    else if (dieRoll < 0.95) this.#fireTimers();
    else if (dieRoll < 0.96) this.#database.now += this.#dice.oneOf([10_000, 31_000]);
    else if (dieRoll < 0.985) this.#lie();
    else if (dieRoll < 0.99) this.#sweep();
    else if (dieRoll < 0.992) this.#mail.push(this.#cancel());
  }

  /** All do what is asked of them; time goes on when nothing else does. */
  #duty(): void {
    if (this.#turns.length > 0) return this.#goOn();
    if (this.#mail.length > 0) return this.#deliver();
    if (this.#step()) return;
    if (this.#database.outbox.size > 0 && this.#bug !== 'the outbox is never swept') {
      return this.#sweep();
    }
    if (this.#retell()) return;
    const next = [...this.#database.timers.values()].sort((a, b) => a.notBefore - b.notBefore)[0];
    if (next === undefined) return;
    must(next.name !== 'deadline', 'a run goes on by what it is answered, not by its time');
    this.#database.now = Math.max(this.#database.now, next.notBefore);
    this.#fireTimers();
  }

  #goOn(): void {
    if (this.#turns.length === 0) return;
    const [turn] = this.#turns.splice(this.#dice.upTo(this.#turns.length), 1);
    turn!.go();
  }

  #crash(): void {
    const at = this.#dice.upTo(this.#owners.length);
    const owner = this.#owners[at]!;
    owner.isAlive = false;
    this.#turns = this.#turns.filter((turn) => turn.owner !== owner);
    this.#owners[at] = this.#newOwner();
    // Its partitions, and those of the others, are given anew.
    for (const topic of this.#topics.values()) reassign(topic);
  }

  /** Whoever had it goes on with what it has. */
  #rebalance(): void {
    reassign(this.#topics.get(this.#dice.oneOf(consumed))!);
  }

  /** A process takes some records of a partition that has any. */
  #step(): boolean {
    const free = consumed.filter((name) => {
      const { committed, isBusy, log } = this.#topics.get(name)!;
      return !isBusy && committed < log.length;
    });
    if (free.length === 0) return false;
    const name = this.#dice.oneOf(free);
    this.#watch(this.#run(this.#dice.oneOf(this.#owners), name));
    return true;
  }

  async #run(owner: Owner, name: (typeof consumed)[number]): Promise<void> {
    const topic = this.#topics.get(name)!;
    topic.isBusy = true;
    const { committed, epoch } = topic;
    const records = topic.log.slice(committed, committed + 1 + this.#dice.upTo(4));
    const commit = () => {
      if (topic.epoch === epoch) topic.committed = committed + records.length;
    };
    const publish = await this.#handle(owner, name, records);
    if (this.#bug === 'the offset moves before what is published') commit();
    for (const message of publish) {
      await this.#turn(owner);
      this.#publish(message);
    }
    await this.#turn(owner);
    commit();
    if (topic.epoch === epoch) topic.isBusy = false;
  }

  async #handle(
    { consumer }: Owner,
    name: (typeof consumed)[number],
    messages: readonly OutgoingMessage[],
  ): Promise<readonly OutgoingMessage[]> {
    const records = messages.map(recordOf);
    switch (name) {
      case 'workflows.requested.v1':
        return (await consumer.requested(records)).publish ?? [];
      case 'claude.completed.v1':
        return (await consumer.answered(records)).publish ?? [];
      default:
        return (await consumer.toolsCompleted(records)).publish ?? [];
    }
  }

  #fireTimers(): void {
    const due = this.#database.takeTimers(1 + this.#dice.upTo(3));
    if (due.length === 0) return;
    this.#watch(this.#dice.oneOf(this.#owners).engine.apply(due.map(firedTimer)));
  }

  /** After the commit, and by itself; a crash leaves it to the sweep. */
  async #sendOutbox(owner: Owner, messages: readonly OutgoingMessage[]): Promise<void> {
    for (const message of messages) {
      await this.#turn(owner);
      this.#publish(message);
      await this.#turn(owner);
      this.#database.outbox.delete(idOf(message));
    }
  }

  #sweep(): void {
    if (this.#bug === 'the outbox is never swept') return;
    const messages = [...this.#database.outbox.values()].slice(0, 3);
    this.#watch(this.#sendOutbox(this.#dice.oneOf(this.#owners), messages));
  }

  #publish(message: OutgoingMessage): void {
    const id = idOf(message);
    const ordered = this.#database.ordered.get(id);
    must(ordered === String(message.value), 'what is published stands in a journal, word for word');
    this.#published.add(id);
    const own = this.#topics.get(message.topic);
    if (own !== undefined) return void own.log.push(message);
    this.#ask(message);
  }

  /** Somebody else is asked. Whoever was asked before tells the same again. */
  #ask(message: OutgoingMessage): void {
    const id = idOf(message);
    const before = this.#answers.get(id);
    const answer = before ?? this.#answerTo(message);
    if (answer === null) return;
    this.#answers.set(id, answer);
    // Of what was lost it is told again at last, once.
    if (before !== undefined && this.#behaves) return;
    if (this.#behaves || this.#dice.chance(before === undefined ? 0.8 : 0.4)) {
      this.#mail.push(answer);
    }
  }

  #answerTo({ headers, topic, value }: OutgoingMessage): OutgoingMessage | null {
    const data = JSON.parse(String(value));
    switch (headers['ce_type']) {
      case 'millrace.claude.requested.v1':
        return this.#modelAnswer(claudeRequestedSchema.parse(data));
      case 'millrace.tool.describe-requested.v1': {
        const { call_id, token, workflow_id } = data;
        const told = { call_id, token, workflow_id, tools, missing: [] };
        return this.#told('tools.completed.v1', { type: 'millrace.tool.described.v1', data: told });
      }
      case 'millrace.tool.run-requested.v1':
        return this.#toolAnswer(toolRunRequestedSchema.parse(data));
      case 'millrace.tool.requested.v1': {
        const call = toolRequestedSchema.parse(data);
        // A worker that never answers: it is asked once more, and then given up.
        return !this.#behaves && this.#dice.chance(0.5) ? null : this.#toolAnswer(call);
      }
      default:
        must(topic !== topics.toolsRequested.name, 'a worker is asked by a request');
        return null;
    }
  }

  #modelAnswer({ call_id, reply }: ReturnType<typeof claudeRequestedSchema.parse>) {
    if (reply.kind !== 'workflow') return null;
    const { created_at, workflow_id } = reply;
    const n = Number(call_id.slice(call_id.lastIndexOf('m') + 1));
    const uses = this.#behaves || n > 3 ? [] : this.#uses(call_id);
    const usage = { input_tokens: 40, output_tokens: 10 };
    const message = {
      role: 'assistant',
      content: uses.length > 0 ? uses : [{ type: 'text', text: 'done' }],
      stop_reason: uses.length > 0 ? 'tool_use' : 'end_turn',
    };
    const names = { tenant: 'default', workflow_id, created_at, call_id };
    const answered = { outcome: 'answered', message, usage, kept: true, attempts: [] };
    const data = { ...names, ...answered, model: 'claude-sonnet-5-5', finished_at: createdAt };
    return this.#told('claude.completed.v1', { type: 'millrace.claude.completed.v1', data });
  }

  #uses(callId: string): object[] {
    const isChild = callId.startsWith(`${jobId}/c`);
    const names = isChild ? ['look', 'ask'] : ['look', 'ask', 'helper'];
    return Array.from({ length: this.#dice.upTo(4) }, (_, n) => {
      const name = this.#dice.oneOf(names);
      const input = name === 'helper' ? { prompt: 'Help.' } : { q: 'a' };
      return { type: 'tool_use', id: `toolu_${callId}_${n}`, name, input };
    });
  }

  #toolAnswer({ call_id, token, workflow_id }: {
    readonly call_id: string;
    readonly token: string;
    readonly workflow_id: string;
  }): OutgoingMessage {
    const data = { call_id, token, workflow_id, output: 'fine' };
    return this.#told('tools.completed.v1', { type: 'millrace.tool.completed.v1', data });
  }

  /** Of a call that is under way, by who was given the token of another one. */
  #lie(): void {
    const open = [...this.#answers.values()].filter(({ topic }) => topic === 'tools.completed.v1');
    if (open.length === 0) return;
    const { call_id, workflow_id } = JSON.parse(String(this.#dice.oneOf(open).value));
    const own = { workflowId: 'other', callId: 'other/t1', attempt: 1 };
    const token = this.#tokens.make({ tenant: 'default', day: createdAt.slice(0, 10), ...own });
    const data = { call_id, workflow_id, token, output: forged };
    this.#mail.push(
      this.#told('tools.completed.v1', { type: 'millrace.tool.completed.v1', data }),
    );
  }

  #request(): OutgoingMessage {
    const agents = [{ name: 'helper', description: 'helps', tools: ['look', 'ask'] }];
    const messages = [{ role: 'user', content: 'Find out.' }];
    const asked = { model: 'claude-sonnet-5-5', max_tokens: 1_000, messages };
    const data = workflowRequestedSchema.parse({
      tenant: 'default',
      job_id: jobId,
      type: 'agent',
      stream: true,
      params: { ...asked, tools: ['look', 'ask'], agents },
      reply: { kind: 'job', created_at: createdAt },
    });
    const type = 'millrace.workflow.requested.v1';
    return this.#told('workflows.requested.v1', { type, data });
  }

  #cancel(): OutgoingMessage {
    const reply = { kind: 'job', created_at: createdAt };
    const data = { tenant: 'default', job_id: jobId, type: 'agent', reply };
    const type = 'millrace.workflow.cancel-requested.v1';
    return this.#told('workflows.requested.v1', { type, data });
  }

  #told(
    topic: (typeof consumed)[number],
    { data, type }: { readonly type: string; readonly data: object },
  ): OutgoingMessage {
    const each = Object.values(topics).find(({ name }) => name === topic)!;
    return eventMessage({
      topic: each,
      type,
      id: JSON.stringify(data),
      key: jobId,
      data,
      source: 'ingest',
      time: new Date(this.#database.now),
      tenant: 'default',
      codec,
      context: ROOT_CONTEXT,
    });
  }

  #deliver(): void {
    if (this.#mail.length === 0) return;
    const at = this.#dice.upTo(this.#mail.length);
    const message = this.#mail[at]!;
    if (this.#behaves || !this.#dice.chance(0.15)) this.#mail.splice(at, 1);
    this.#topics.get(message.topic)!.log.push(message);
  }

  /** Answers are told again at last, once each: so do those in whose outbox they lie. */
  readonly #retold = new Set<string>();
  #retell(): boolean {
    const [again] = [...this.#answers].filter(([id]) => !this.#retold.has(id));
    if (again === undefined) return false;
    this.#retold.add(again[0]);
    this.#mail.push(again[1]);
    return true;
  }

  #isQuiet(): boolean {
    const { outbox, rows } = this.#database;
    const isRead = [...this.#topics.values()].every(({ committed, log }) => {
      return committed === log.length;
    });
    const haveEnded = [...rows.keys()].every((id) => isEnd(this.#database.held(id)?.status ?? ''));
    const isStill = this.#turns.length === 0 && this.#mail.length === 0;
    return rows.has(jobId) && isRead && haveEnded && isStill && outbox.size === 0;
  }

  #checkEnd(): void {
    const { ordered, rows, timers } = this.#database;
    must(timers.size === 0, 'no timer is left behind');
    for (const id of ordered.keys()) {
      must(this.#published.has(id), 'what a journal orders is published');
    }
    for (const [id, { journal }] of rows) {
      const held = this.#database.held(id)!;
      must(held.version === journal.length, 'I3: a row is as old as its journal');
      const again = replay({ head: held.head, entries: journal, reducers });
      const isSame = JSON.stringify(again?.state) === JSON.stringify(held.state);
      must(isSame, 'I3: a journal replays to its row');
      const ends = journal.flatMap(({ commands }) => commands.filter(isFinish));
      must(ends.length === 1, 'I4: a run ends once');
    }
  }
}

const isFinish = ({ kind }: { readonly kind: string }) => kind === 'finish';

const isEnd = (status: string) => ['succeeded', 'failed', 'cancelled', 'expired'].includes(status);

function reassign(topic: Topic): void {
  topic.epoch += 1;
  topic.isBusy = false;
}

/** As a consumer gets it; what is not looked at is left out. */
function recordOf({ headers, key, topic, value }: OutgoingMessage) {
  const data = JSON.parse(String(value));
  const place = { topic, partition: 0, offset: '0', key, timestampMs: 0 };
  const { ce_id: id = '', ce_type: type } = headers;
  // What it is, its type says: the consumer's own schemas are not tried here.
  const record: ReturnType<typeof JSON.parse> = { ...place, id, type, headers, data };
  return { ...record, context: ROOT_CONTEXT };
}
