import {
  agentIterationsDefault,
  agentSecondsDefault,
  agentSecondsMax,
  agentTokensDefault,
  agentToolCallsDefault,
} from '@millrace/contracts';
import type {
  Budget,
  BudgetLimits,
  BudgetRaise,
  LimitName,
  Spending,
  Usage,
} from '@millrace/contracts';

import type { EpochMs, WorkflowView } from './workflow.ts';

/**
 * The money, tokens and calls of a run. What may be spent is reserved before it is asked for and
 * settled or released when its answer is there, so that the limits hold whatever comes back:
 * reserved = settled + released + open, at every version.
 */
export interface Ledger {
  readonly limits: Limits;
  readonly onReached: 'fail' | 'park';
  readonly reserved: Amount;
  readonly settled: Amount;
  readonly released: Amount;
  /** Sum of what answers said. Absent before the first, and in states of older releases. */
  readonly usage?: Usage;
}

/** Whole numbers, money in millionths of a US dollar. */
export interface Amount {
  readonly micros: number;
  readonly tokens: number;
  readonly iterations: number;
  readonly toolCalls: number;
}

/** `micros: null`: money has no limit. */
export interface Limits extends Omit<Amount, 'micros'> {
  readonly micros: number | null;
  readonly seconds: number;
}

export const nothing: Amount = { micros: 0, tokens: 0, iterations: 0, toolCalls: 0 };
export const oneToolCall: Amount = { ...nothing, toolCalls: 1 };

export function openLedger(budget: Budget = {}): Ledger {
  return {
    limits: {
      micros: budget.usd === undefined ? null : toMicros(budget.usd),
      tokens: budget.tokens ?? agentTokensDefault,
      iterations: budget.iterations ?? agentIterationsDefault,
      toolCalls: budget.tool_calls ?? agentToolCallsDefault,
      seconds: budget.seconds ?? agentSecondsDefault,
    },
    onReached: budget.on_reached ?? 'fail',
    reserved: nothing,
    settled: nothing,
    released: nothing,
  };
}

/** The first limit that an amount would break, with what is left of it. */
export function limitReached(ledger: Ledger, need: Amount): LimitName | undefined {
  const left = rest(ledger);
  if (left.micros !== null && need.micros > left.micros) return 'usd';
  if (need.tokens > left.tokens) return 'tokens';
  if (need.iterations > left.iterations) return 'iterations';
  return need.toolCalls > left.toolCalls ? 'tool_calls' : undefined;
}

export function reserve(ledger: Ledger, held: Amount): Ledger {
  return { ...ledger, reserved: plus(ledger.reserved, held) };
}

/** Counts the tokens that an answer, or all answers of a sub-agent, said to have used. */
export function countUsage(ledger: Ledger, usage: Usage | undefined): Ledger {
  if (usage === undefined) return ledger;
  const sum = (name: CountName) => (ledger.usage?.[name] ?? 0) + (usage[name] ?? 0);
  return {
    ...ledger,
    usage: {
      input_tokens: sum('input_tokens'),
      output_tokens: sum('output_tokens'),
      cache_creation_input_tokens: sum('cache_creation_input_tokens'),
      cache_read_input_tokens: sum('cache_read_input_tokens'),
    },
  };
}

type CountName =
  | 'input_tokens'
  | 'output_tokens'
  | 'cache_creation_input_tokens'
  | 'cache_read_input_tokens';

/** Closes a reservation with what came of it. What was above it is counted as reserved, too. */
export function settle(ledger: Ledger, held: Amount, spent: Amount): Ledger {
  return {
    ...ledger,
    reserved: plus(ledger.reserved, atLeastNothing(minus(spent, held))),
    settled: plus(ledger.settled, spent),
    released: plus(ledger.released, atLeastNothing(minus(held, spent))),
  };
}

export function spend(ledger: Ledger, amount: Amount): Ledger {
  return settle(reserve(ledger, amount), amount, amount);
}

/**
 * What a sub-agent gets of what is left: what it asks for, and else an equal share among those
 * that begin together and the agent itself, which has to read what they found.
 */
export function allowance(
  ledger: Ledger,
  o: { readonly asked: Budget | undefined; readonly sharers: number; readonly secondsLeft: number },
): { readonly held: Amount; readonly budget: Budget } {
  const left = rest(ledger);
  const share = (amount: number, asked: number | undefined) =>
    Math.min(amount, asked ?? Math.max(1, Math.floor(amount / (o.sharers + 1))));
  const { asked = {} } = o;
  const usd = asked.usd === undefined ? undefined : toMicros(asked.usd);
  const held = {
    micros: left.micros === null ? (usd ?? 0) : share(left.micros, usd),
    tokens: share(left.tokens, asked.tokens),
    iterations: share(left.iterations, asked.iterations),
    toolCalls: share(left.toolCalls, asked.tool_calls),
  };
  const limited = left.micros !== null || usd !== undefined;
  const seconds = Math.max(1, Math.min(o.secondsLeft, asked.seconds ?? agentSecondsDefault));
  const budget: Budget = {
    ...(limited ? { usd: held.micros / 1_000_000 } : {}),
    tokens: held.tokens,
    iterations: held.iterations,
    tool_calls: held.toolCalls,
    seconds,
    // Nobody could raise the budget of a sub-agent that waits.
    on_reached: 'fail',
  };
  return { held, budget };
}

/** Until when a run may wait for a raise: none of its limits in seconds is higher. */
export function waitsUntil(startedAt: EpochMs): EpochMs {
  return startedAt + agentSecondsMax * 1_000;
}

/** The limits after a raise; the same ledger when it raises none of them. */
export function raise(ledger: Ledger, to: BudgetRaise): Ledger {
  const { limits } = ledger;
  const micros = to.usd === undefined ? 0 : toMicros(to.usd);
  const raised: Limits = {
    micros: limits.micros === null ? null : Math.max(limits.micros, micros),
    tokens: Math.max(limits.tokens, to.tokens ?? 0),
    iterations: Math.max(limits.iterations, to.iterations ?? 0),
    toolCalls: Math.max(limits.toolCalls, to.tool_calls ?? 0),
    seconds: Math.max(limits.seconds, to.seconds ?? 0),
  };
  const changed =
    raised.micros !== limits.micros ||
    raised.tokens !== limits.tokens ||
    raised.iterations !== limits.iterations ||
    raised.toolCalls !== limits.toolCalls ||
    raised.seconds !== limits.seconds;
  return changed ? { ...ledger, limits: raised } : ledger;
}

export function spending({ settled }: Ledger): Spending {
  return {
    usd: settled.micros / 1_000_000,
    tokens: settled.tokens,
    iterations: settled.iterations,
    tool_calls: settled.toolCalls,
  };
}

/** What a run has spent and may, and which limit it waits for someone to raise. */
export function budgetView(
  ledger: Ledger,
  reached: LimitName | null,
): Pick<WorkflowView, 'spent' | 'limits' | 'limit_reached'> {
  return {
    spent: spending(ledger),
    limits: limitsOf(ledger),
    ...(reached === null ? {} : { limit_reached: reached }),
  };
}

/** What may be spent, in the units of a budget. */
export function limitsOf({ limits }: Ledger): BudgetLimits {
  return {
    ...(limits.micros === null ? {} : { usd: limits.micros / 1_000_000 }),
    tokens: limits.tokens,
    iterations: limits.iterations,
    tool_calls: limits.toolCalls,
    seconds: limits.seconds,
  };
}

/** What the end of a run says of its ledger. */
export function account(ledger: Ledger): { readonly spent: Spending; readonly usage?: Usage } {
  const { usage } = ledger;
  return { spent: spending(ledger), ...(usage === undefined ? {} : { usage }) };
}

export function amountOf(spent: Spending): Amount {
  const { usd, tokens, iterations, tool_calls } = spent;
  return { micros: toMicros(usd), tokens, iterations, toolCalls: tool_calls };
}

export function plus(a: Amount, b: Amount): Amount {
  return {
    micros: a.micros + b.micros,
    tokens: a.tokens + b.tokens,
    iterations: a.iterations + b.iterations,
    toolCalls: a.toolCalls + b.toolCalls,
  };
}

/** What is neither spent nor reserved. */
export function rest({ limits, reserved, released }: Ledger): Omit<Limits, 'seconds'> {
  const used = minus(reserved, released);
  return {
    micros: limits.micros === null ? null : limits.micros - used.micros,
    tokens: limits.tokens - used.tokens,
    iterations: limits.iterations - used.iterations,
    toolCalls: limits.toolCalls - used.toolCalls,
  };
}

function minus(a: Amount, b: Amount): Amount {
  return {
    micros: a.micros - b.micros,
    tokens: a.tokens - b.tokens,
    iterations: a.iterations - b.iterations,
    toolCalls: a.toolCalls - b.toolCalls,
  };
}

function atLeastNothing(amount: Amount): Amount {
  return {
    micros: Math.max(0, amount.micros),
    tokens: Math.max(0, amount.tokens),
    iterations: Math.max(0, amount.iterations),
    toolCalls: Math.max(0, amount.toolCalls),
  };
}

function toMicros(usd: number): number {
  return Math.round(usd * 1_000_000);
}
