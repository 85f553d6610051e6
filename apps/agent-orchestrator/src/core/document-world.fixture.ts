import { agentSecondsMax } from '@millrace/contracts';
import type { Usage } from '@millrace/contracts';

import { openLedger, raise, spending } from './agent-budget.ts';
import { prices, startedAt } from './agent-run.fixture.ts';
import type { Happening } from './agent-run.fixture.ts';
import { Dice, must } from './dice.fixture.ts';
import { documentReducer } from './document-reducer.ts';
import { aboutOf, DocumentDriver } from './document-run.fixture.ts';
import type { DocumentState } from './document-state.ts';
import { itemsOf, topLevel } from './document-tree.ts';
import { costMicros } from './prices.ts';
import type { Command, Reducer } from './workflow.ts';

/*
 * A small world around one document: tool-runner, a model, people and a clock, all at the whim of
 * one seed. Answers come late, twice, in any order or never; calls fail; people cancel and raise.
 * After each decision it checks what must hold (the numbers are those of document-reducer.ts).
 */

type Call = Extract<Command, { kind: 'call_claude' }>;

/** A day is the budget's own; a part of the worlds has less. */
const hourMs = 3_600_000;
/** Between two askings for parts: the timer `split`, and somewhat more. */
const patienceMs = 20 * 60_000;

export interface DocumentWorldOptions {
  readonly seed: number;
  readonly reducer?: Reducer<DocumentState>;
}

export class DocumentWorld {
  readonly run: DocumentDriver;
  readonly #dice: Dice;
  readonly #parts: readonly number[];
  #mail: Happening[] = [];
  readonly #delivered: Happening[] = [];
  readonly #timers = new Map<string, number>();
  /** Calls that nobody has answered yet, by what they are about. */
  readonly #open = new Map<string, string>();
  readonly #callIds = new Set<string>();
  /** What was answered well: a part, or the parts that a join stands for. */
  readonly #answered = new Set<string>();
  #isSplitOpen = false;
  #isWarm = false;
  #behaves = false;
  #limits = openLedger().limits;
  #spentMicros = 0;
  #outputTokens = 0;
  #raises = 0;

  constructor({ seed, reducer = documentReducer(prices) }: DocumentWorldOptions) {
    this.#dice = new Dice(seed);
    this.run = new DocumentDriver('doc-1', reducer);
    const count = this.#dice.oneOf([1, 2, 15, 16, 17, 1 + this.#dice.upTo(60)]);
    this.#parts = Array.from({ length: count }, () => 50 + this.#dice.upTo(100));
  }

  /** One whole life of a run. Gives back how it ended. */
  live(): string {
    if (this.#dice.chance(0.02)) this.#hand({ type: 'cancel_requested' });
    this.#request();
    for (let turn = 0; turn < 120 && !this.#hasEnded(); turn += 1) this.#whim();
    this.#behaves = true;
    for (let turn = 0; turn < 1_000 && !this.#hasEnded(); turn += 1) this.#duty();
    must(this.#hasEnded(), 'every run ends once what it asked for is answered');
    this.#checkEnd();
    return this.run.workflow.status;
  }

  #hasEnded(): boolean {
    return this.run.workflow.version > 0 && this.run.workflow.state.stage === 'ended';
  }

  #request(): void {
    const small = this.#dice.chance(0.3);
    const budget = {
      ...(this.#dice.chance(0.5) ? { usd: small ? 0.2 : 10 } : {}),
      tokens: small ? 30_000 : 2_000_000,
      iterations: small ? 10 : 500,
      seconds: (1 + this.#dice.upTo(48)) * (hourMs / 1_000),
      on_reached: this.#dice.chance(0.5) ? ('park' as const) : ('fail' as const),
    };
    this.#limits = openLedger(budget).limits;
    const before = new Date(startedAt + 24 * hourMs).toISOString();
    const data = this.run.requestOf({
      budget,
      request: this.#dice.chance(0.2) ? { complete_by: before } : {},
    });
    this.#hand({ type: 'requested', data });
  }

  #whim(): void {
    const dieRoll = this.#dice.roll();
    if (dieRoll < 0.75) this.#deliver();
    else if (dieRoll < 0.8) this.#passTime(this.#dice.oneOf([20_000, patienceMs]));
    else if (dieRoll < 0.86) this.#again();
    else if (dieRoll < 0.95) this.#hand(this.#lie(), 'ignored');
    else if (dieRoll < 0.97) this.#staleTimer();
    else if (dieRoll < 0.975) this.#hand({ type: 'cancel_requested' });
    else if (this.run.workflow.status === 'awaiting_budget') this.#raise();
  }

  /** Everyone does what is asked of them; who was asked for a raise may never give it. */
  #duty(): void {
    if (this.#mail.length > 0) this.#deliver();
    else if (this.run.workflow.status === 'awaiting_budget' && this.#raises < 3) this.#raise();
    else this.#passTime(hourMs);
  }

  #deliver(): void {
    if (this.#mail.length === 0) return;
    const at = this.#dice.upTo(this.#mail.length);
    const mail = this.#mail[at]!;
    const isRepeated = !this.#behaves && this.#dice.chance(0.1);
    if (!isRepeated) this.#mail = this.#mail.filter((_, other) => other !== at);
    this.#hand(mail);
    this.#delivered.push(mail);
    if (this.#dice.chance(0.1)) this.#hand(mail, 'ignored');
  }

  #again(): void {
    if (this.#delivered.length > 0) this.#hand(this.#dice.oneOf(this.#delivered), 'ignored');
  }

  #lie(): Happening {
    const { id } = this.run;
    const names = { workflow_id: id, token: 't' };
    const message = { role: 'assistant', content: [], stop_reason: 'end_turn' };
    const parts = { call_id: `${id}/t7`, parts: [1], parts_ref: 'b' };
    const lies: readonly object[] = [
      this.#completion(`${id}/m999`, { outcome: 'answered', message }),
      { type: 'tool_completed', data: { ...names, call_id: `${id}/t1`, output: 'x' } },
      { type: 'document_split', data: { ...names, ...parts } },
      { type: 'signalled', data: { name: 'go', signal_id: 's', data: 1 } },
      { type: 'timer_fired', name: 'tool:doc-1/t1' },
      { type: 'budget_raised', data: { budget: { tokens: 1 } } },
      { type: 'requested', data: this.run.requestOf({}) },
    ];
    return JSON.parse(JSON.stringify(this.#dice.oneOf(lies)));
  }

  /** One of before it was set anew, or of a clock that is ahead. */
  #staleTimer(): void {
    const { state: before, version } = this.run.workflow;
    const at = this.#timers.get('deadline');
    if (version === 0 || at === undefined || at <= this.run.now) return;
    this.#hand({ type: 'timer_fired', name: 'deadline' });
    const { state } = this.run.workflow;
    must(JSON.stringify(state) === JSON.stringify(before), 'a timer counts when it is due');
  }

  #raise(): void {
    this.#raises += 1;
    const { iterations, micros, seconds, tokens } = this.#limits;
    const goneSeconds = Math.ceil((this.run.now - startedAt) / 1_000);
    const budget = {
      ...(micros === null ? {} : { usd: micros / 1_000_000 + 1 }),
      tokens: tokens + 100_000,
      iterations: iterations + 50,
      seconds: Math.min(agentSecondsMax, seconds + goneSeconds + 3_600),
    };
    this.#limits = raise({ ...openLedger(), limits: this.#limits }, budget).limits;
    const data = { budget, raise_id: `r${this.#raises}` };
    this.#hand(JSON.parse(JSON.stringify({ type: 'budget_raised', data })));
  }

  #passTime(ms: number): void {
    const due = [...this.#timers].sort((a, b) => a[1] - b[1])[0];
    if (due === undefined) return;
    const [name, at] = due;
    if (!this.#behaves && at > this.run.now + ms) {
      this.run.now += ms;
      return;
    }
    this.run.now = Math.max(this.run.now, at);
    this.#timers.delete(name);
    this.#hand({ type: 'timer_fired', name });
  }

  #hand(event: Happening, expected?: 'ignored'): void {
    const hadEnded = this.#hasEnded();
    const before = this.run.workflow;
    const commands = this.run.happen(event);
    const { last } = this.run;
    if (hadEnded) must(last?.kind === 'ignored', 'D4: nothing happens after the end');
    if (expected) must(last?.kind === 'ignored', `D4: not waited for, and taken: ${event.type}`);
    if (last?.kind === 'ignored') {
      must(this.run.workflow === before, 'D4: an ignored event changes nothing');
      return;
    }
    this.#settle(event);
    for (const [at, command] of commands.entries()) this.#obey(command, at === commands.length - 1);
    this.#checkState();
  }

  #settle(event: Happening): void {
    if (event.type === 'document_split' || event.type === 'tool_completed') {
      this.#isSplitOpen = false;
    }
    if (event.type !== 'call_completed') return;
    const { call_id, message, outcome, usage } = event.data;
    const about = this.#open.get(call_id)!;
    this.#open.delete(call_id);
    this.#isWarm ||= outcome === 'answered';
    this.#spentMicros += event.costMicros;
    this.#outputTokens += usage?.output_tokens ?? 0;
    if (this.#hasEnded()) return;
    const isCut = message?.['stop_reason'] === 'max_tokens' && !this.#isPart(about);
    if (outcome === 'answered' && !isCut) this.#answered.add(about);
  }

  #isPart(about: string): boolean {
    return /^\[\d+\]$/.test(about) && this.#parts.length > 1;
  }

  #obey(command: Command, isLast: boolean): void {
    switch (command.kind) {
      case 'split_document':
        return this.#split();
      case 'call_claude':
        return this.#call(command);
      case 'cancel_call':
        must(this.#open.delete(command.callId), 'only what is under way is called back');
        return;
      case 'cancel_tool':
        this.#isSplitOpen = false;
        return;
      case 'set_timer':
        this.#timers.set(command.name, command.at);
        return;
      case 'clear_timer':
        this.#timers.delete(command.name);
        return;
      case 'finish':
        must(isLast, 'nothing follows the end');
        return;
      case 'tell_step':
        return;
      default:
        must(false, `a document never does this: ${command.kind}`);
    }
  }

  /** Asked again under its id: tool-runner answers as before. */
  #split(): void {
    this.#isSplitOpen = true;
    // Nobody hears of it: the run has to ask again.
    if (!this.#behaves && this.#dice.chance(0.3)) return;
    const names = { workflow_id: this.run.id, call_id: `${this.run.id}/t0`, token: 't' };
    const error = { code: 'encrypted_document', detail: 'it is so' };
    const fails = this.#parts.length === 2;
    const gave = fails ? { error } : { parts: this.#parts, parts_ref: 'blob_doc' };
    const type = fails && this.#dice.chance(0.5) ? 'tool_completed' : 'document_split';
    this.#send({ type, data: { ...names, ...gave } });
  }

  #call(call: Call): void {
    const { callId, params } = call;
    must(!this.#callIds.has(callId), `D1: the id ${callId} is used once`);
    this.#callIds.add(callId);
    const about = aboutOf(call);
    must(![...this.#open.values()].includes(about), 'D1: an item has one call under way');
    must(!this.#answered.has(about), 'D1: what is answered is not asked again');
    must(this.#isWarm || this.#open.size === 0, 'the first part is asked about alone');
    if (params !== undefined) this.#checkJoin(about);
    this.#open.set(callId, about);
    // Lost for good: the run ends by its time.
    if (!this.#behaves && this.#dice.chance(0.004)) return;
    this.#send(this.#completion(callId, this.#answer(about, call)));
  }

  /** What is joined is there, and in the order of the document. */
  #checkJoin(about: string): void {
    const numbers = [...about.matchAll(/\d+/g)].map(Number);
    const first = numbers[0] ?? 0;
    const inOrder = numbers.every((n, at) => n === first + at);
    must(numbers.length > 1 && inOrder, 'D2: a join has its parts, each once and in order');
  }

  #answer(about: string, { params }: Call): object {
    const dieRoll = this.#behaves ? 1 : this.#dice.roll();
    const error = { code: 'retries_exhausted', detail: '529' };
    if (dieRoll < 0.03) return { outcome: 'failed', error };
    if (dieRoll < 0.031) return { outcome: 'expired' };
    const stop = dieRoll < 0.08 ? 'max_tokens' : dieRoll < 0.082 ? 'refusal' : 'end_turn';
    const content = [{ type: 'text', text: about }];
    const usage: Usage = {
      input_tokens: params === undefined ? 40 : 20,
      output_tokens: 1 + this.#dice.upTo(100),
    };
    return {
      outcome: 'answered',
      usage,
      message: { role: 'assistant', content, stop_reason: stop },
    };
  }

  #completion(callId: string, how: object): object {
    const at = '2026-11-24T12:00:01.000Z';
    const names = { tenant: 'default', workflow_id: this.run.id, created_at: at, call_id: callId };
    const data = { ...names, model: 'claude-sonnet-5-5', attempts: [], finished_at: at, ...how };
    const used = 'usage' in how ? (how.usage as Usage) : undefined;
    const micros = used === undefined ? 0 : costMicros(prices[0]!, used);
    return { type: 'call_completed', data: { kept: false, ...data }, costMicros: micros };
  }

  #send(event: object): void {
    this.#mail.push(JSON.parse(JSON.stringify(event)));
  }

  #checkState(): void {
    const { state, status } = this.run.workflow;
    const { released, reserved, settled, usage } = state.ledger;
    const held = state.stage === 'ended' ? [] : state.open.map((item) => item.held);
    for (const key of ['micros', 'tokens', 'iterations'] as const) {
      const open = held.reduce((sum, amount) => sum + amount[key], 0);
      const isWhole = reserved[key] === settled[key] + released[key] + open;
      must(isWhole, `D3: reserved = settled + released + open (${key})`);
      const limit = this.#limits[key];
      must(limit === null || settled[key] + open <= limit, `the budget holds (${key})`);
    }
    must((usage?.output_tokens ?? 0) === this.#outputTokens, 'D3: what was answered is counted');
    if (state.stage === 'ended') return;
    const open = state.open.map(({ callId }) => callId).sort();
    must(open.join() === [...this.#open.keys()].sort().join(), 'D1: what is under way is known');
    must(this.#timers.has('deadline'), 'a run has a deadline');
    must(!this.#isSplitOpen || this.#timers.has('split'), 'lost parts are asked for again');
    const waits = status === 'awaiting_budget';
    const moves = this.#open.size > 0 || this.#isSplitOpen;
    must(waits || moves, 'a run has something under way, or says what it waits for');
    must(!waits || this.#open.size === 0, 'a run is said to wait only while nothing moves');
    this.#checkAnswers(Object.keys(state.answers).length);
  }

  /** Of each level no more wait than a join takes, and those that came before their neighbours. */
  #checkAnswers(kept: number): void {
    const joined = this.#parts.length - itemsOf(this.#parts.length, topLevel(this.#parts.length));
    must(kept <= joined + 1, 'D2: answers are let go');
  }

  #checkEnd(): void {
    must(this.#open.size === 0, 'what is under way at the end is called back');
    must(!this.#isSplitOpen, 'what is under way at the end is called back');
    must(this.#timers.size === 0, `no timer is left behind: ${[...this.#timers.keys()].join()}`);
    const ends = this.run.commands.filter(({ kind }) => kind === 'finish');
    must(ends.length === 1, 'a run ends once');
    const end = this.run.end()!;
    if (end.status === 'succeeded') {
      const whole = this.#parts.map((_, n) => `[${n}]`).join('');
      must(end.result === whole, 'D2: the answer is of all parts, each once and in order');
    }
    const { micros } = this.#limits;
    const { usd } = spending(this.run.workflow.state.ledger);
    must(micros === null || Math.round(usd * 1_000_000) <= micros, 'money holds');
    must(Math.round(usd * 1_000_000) >= this.#spentMicros, 'D3: what was spent is counted');
    for (const event of this.#delivered.slice(-10)) this.#hand(event, 'ignored');
  }
}
