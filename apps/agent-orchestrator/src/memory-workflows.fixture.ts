import { isTerminal, type OutgoingMessage } from '@millrace/contracts';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { must } from './core/dice.fixture.ts';
import { fold, type Folded, type HeldWorkflow } from './core/fold.ts';
import type { Answer, JournalEntry } from './core/journal-entry.ts';
import type { Reducers } from './core/reducers.ts';
import type { WorkflowStatus } from './core/workflow.ts';
import type { OutgoingMessages } from './outgoing-messages.ts';
import {
  Workflows,
  type Applied,
  type DueTimer,
  type JournalPage,
  type WorkflowBatch,
  type WorkflowName,
} from './ports.ts';

/*
 * The tables of agent-orchestrator in memory, shared by all owners, as `postgres-workflows.ts` uses
 * them: between a load and its write anything may happen. Each write is checked:
 *
 * I3 A workflow's journal has no gap, and no two events at one version.
 * I4 What is ordered, a call, a tool, a sub-agent or an end, is ordered once.
 */

/** What a store, or who uses it, may do wrong: by what a reviewer would say. */
export type ShellBug =
  | 'the swap is not compared'
  | 'the inbox is not asked'
  | 'what is known is not told again'
  | 'who lost a swap does not decide again'
  | 'an entry is written though its row was lost'
  | 'a timer that fired stays'
  | 'what is decided is published before it is committed'
  | 'the offset moves before what is published'
  | 'the outbox is never swept'
  | 'a token is not looked at';

interface Row {
  readonly name: WorkflowName;
  /** JSON, as a row is. */
  json: string;
  readonly journal: JournalEntry[];
}

interface TimerRow extends DueTimer {
  notBefore: number;
}

/** How long a taken timer is out of sight of others. */
const holdMs = 30_000;

export class MemoryDatabase {
  readonly rows = new Map<string, Row>();
  readonly timers = new Map<string, TimerRow>();
  readonly outbox = new Map<string, OutgoingMessage>();
  /** All that the journals order, word for word, by its id. */
  readonly ordered = new Map<string, string>();
  now = Date.parse('2026-11-24T12:00:00.000Z');
  readonly #done = new Set<string>();

  constructor(
    readonly bug: ShellBug | undefined,
    private readonly messages: OutgoingMessages,
  ) {}

  held(id: string): HeldWorkflow | null {
    const row = this.rows.get(id);
    return row === undefined ? null : JSON.parse(row.json);
  }

  takeTimers(limit: number): DueTimer[] {
    const due = [...this.timers.values()].filter(({ notBefore }) => notBefore <= this.now);
    const taken = due.slice(0, limit);
    for (const timer of taken) {
      const eventId = `timer:${timer.name}:${timer.version}`;
      const { journal = [] } = this.rows.get(timer.workflow.id) ?? {};
      const isNew = journal.every(({ event }) => event.eventId !== eventId);
      must(isNew, 'a timer that has fired is due no more');
      timer.notBefore = this.now + holdMs;
    }
    return taken;
  }

  /** @returns false when another writer was first. */
  write({ batch, folded, was }: Decided, outbox: readonly OutgoingMessage[]): boolean {
    const { id } = batch.workflow;
    const row = this.rows.get(id);
    const isAsRead = (row === undefined ? 0 : versionOf(row)) === (was?.version ?? 0);
    const isOurs = isAsRead || this.bug === 'the swap is not compared';
    if (!isOurs && this.bug !== 'an entry is written though its row was lost') return false;
    const { next, outcomes } = folded;
    if (next === null) return true;
    const kept = row ?? { name: batch.workflow, json: '', journal: [] };
    for (const outcome of outcomes) {
      if (outcome.kind === 'applied') this.#enter(kept, outcome.entry, next);
    }
    this.rows.set(id, kept);
    if (!isOurs) return false;
    kept.json = JSON.stringify(next);
    this.#setTimers(batch, folded, next.status);
    for (const message of outbox) this.outbox.set(idOf(message), message);
    return true;
  }

  #enter(row: Row, entry: JournalEntry, { head }: HeldWorkflow): void {
    const { id } = row.name;
    must(entry.version === row.journal.length + 1, 'I3: a journal has no gap, and no two at one');
    const isNew = row.journal.every(({ event }) => event.eventId !== entry.event.eventId);
    must(isNew, 'I3: an event stands once in a journal');
    row.journal.push(JSON.parse(JSON.stringify(entry)));
    const { event } = entry;
    const isForged = event.type === 'tool_completed' && event.data.output === forged;
    must(!isForged, 'what strangers say is in no journal');
    for (const command of entry.commands) {
      const what = orderOf(command);
      if (what === null) continue;
      must(!this.#done.has(`${id} ${what}`), 'I4: a side effect is committed once');
      this.#done.add(`${id} ${what}`);
    }
    for (const message of this.messages.of(head, entry, ROOT_CONTEXT)) {
      this.ordered.set(idOf(message), String(message.value));
    }
  }

  /** As the statement does it: what fired goes, what is set anew is written over. */
  #setTimers({ arrivals, workflow }: WorkflowBatch, folded: Folded, status: WorkflowStatus): void {
    if (this.bug !== 'a timer that fired stays') {
      for (const { timer } of arrivals) if (timer !== undefined) this.dropTimer(workflow, timer);
    }
    for (const outcome of folded.outcomes) {
      if (outcome.kind !== 'applied') continue;
      const { commands, version } = outcome.entry;
      for (const command of commands) {
        if (command.kind === 'clear_timer') this.timers.delete(`${workflow.id} ${command.name}`);
        if (command.kind !== 'set_timer') continue;
        const { at, name } = command;
        const timer = { workflow, name, version, dueAtMs: at, notBefore: at, trace: {} };
        this.timers.set(`${workflow.id} ${name}`, timer);
      }
    }
    const hasEnded = status !== 'parked' && isTerminal(status);
    if (!hasEnded) return;
    for (const [key, timer] of this.timers) {
      if (timer.workflow.id === workflow.id) this.timers.delete(key);
    }
  }

  dropTimer({ id }: WorkflowName, { name, version }: { name: string; version: number }): void {
    const key = `${id} ${name}`;
    if (this.timers.get(key)?.version === version) this.timers.delete(key);
  }
}

/** What a stranger claims of a call. */
export const forged = 'forged';

export const idOf = ({ headers }: OutgoingMessage): string => headers['ce_id'] ?? '';

const versionOf = ({ json }: Row): number => (json === '' ? 0 : JSON.parse(json).version);

function orderOf(command: JournalEntry['commands'][number]): string | null {
  switch (command.kind) {
    case 'call_claude':
      return command.callId;
    case 'run_tool':
      return `${command.callId} ${command.attempt}`;
    case 'start_child':
      return command.request.job_id;
    case 'finish':
      return 'finish';
    default:
      return null;
  }
}

interface Decided {
  readonly batch: WorkflowBatch;
  readonly was: HeldWorkflow | null;
  readonly folded: Folded;
  readonly answered: ReadonlyMap<string, Answer>;
}

export interface MemoryWorkflowsParts {
  readonly database: MemoryDatabase;
  readonly reducers: Reducers;
  readonly messages: OutgoingMessages;
  /** Resolves when it is this owner's turn; never, once it has crashed. */
  readonly turn: (what: string) => Promise<void>;
  /** For a bug alone: tells what is not committed yet. */
  readonly publish: (messages: readonly OutgoingMessage[]) => void;
}

/** One process's way to the tables: load, decide, write, and the answer, each at its own time. */
export class MemoryWorkflows extends Workflows {
  constructor(private readonly parts: MemoryWorkflowsParts) {
    super();
  }

  async apply(batches: readonly WorkflowBatch[]): Promise<PromiseSettledResult<Applied>[]> {
    const { turn } = this.parts;
    await turn('load');
    const decided = batches.map((batch) => this.#decide(batch));
    await turn('write');
    const applied = decided.map((one) => this.#write(one));
    // A crash here: it is committed, and nobody knows.
    await turn('reply');
    return applied.map((value) => ({ status: 'fulfilled', value }));
  }

  #decide(batch: WorkflowBatch): Decided {
    const { database, messages, publish, reducers } = this.parts;
    const { id } = batch.workflow;
    const was = database.held(id);
    const asked = new Set(batch.arrivals.map(({ event }) => event.eventId));
    const entries = database.rows.get(id)?.journal.filter(({ event }) => asked.has(event.eventId));
    const answered = new Map((entries ?? []).map((entry) => [entry.event.eventId, entry]));
    const known = database.bug === 'the inbox is not asked' ? new Set<string>() : answered.keys();
    const events = batch.arrivals;
    const nowMs = database.now;
    const folded = fold({ held: was, known: new Set(known), events, nowMs, reducers });
    if (database.bug === 'what is decided is published before it is committed') {
      const { next, outcomes } = folded;
      for (const outcome of outcomes) {
        if (outcome.kind !== 'applied' || next === null) continue;
        publish(messages.of(next.head, outcome.entry, ROOT_CONTEXT));
      }
    }
    const isMute = database.bug === 'what is known is not told again';
    return { batch, was, folded, answered: isMute ? new Map() : answered };
  }

  #write(decided: Decided): Applied {
    const { database, messages } = this.parts;
    const { answered, batch, folded, was } = decided;
    const { next } = folded;
    const outbox = batch.arrivals.flatMap(({ byOutbox }, at) => {
      const outcome = folded.outcomes[at];
      if (!byOutbox || outcome?.kind !== 'applied' || next === null) return [];
      return messages.of(next.head, outcome.entry, ROOT_CONTEXT);
    });
    const isChanged = next !== null && next !== was;
    const isWon = !isChanged || database.write(decided, outbox);
    const isLost = !isWon && database.bug !== 'who lost a swap does not decide again';
    if (isLost) return { kind: 'lost' };
    if (database.bug !== 'a timer that fired stays') {
      for (const { timer, workflow } of batch.arrivals) {
        if (timer !== undefined) database.dropTimer(workflow, timer);
      }
    }
    return { kind: 'done', ...folded, next, trace: {}, answered, outbox: isWon ? outbox : [] };
  }

  answers({ id }: WorkflowName, versions: readonly number[]): Promise<Answer[]> {
    const { journal = [] } = this.parts.database.rows.get(id) ?? {};
    return Promise.resolve(journal.filter(({ version }) => versions.includes(version)));
  }

  find({ id }: WorkflowName): Promise<HeldWorkflow | null> {
    return Promise.resolve(this.parts.database.held(id));
  }

  park(): Promise<void> {
    throw new Error('nothing is refused here');
  }

  journal({ id }: WorkflowName): Promise<JournalPage> {
    const entries = this.parts.database.rows.get(id)?.journal ?? [];
    return Promise.resolve({ entries, bytes: 0, next: null });
  }
}
