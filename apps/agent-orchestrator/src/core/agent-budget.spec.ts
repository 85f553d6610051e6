import { describe, expect, it } from '@jest/globals';

import { account, allowance, countUsage, limitReached, nothing } from './agent-budget.ts';
import { openLedger, raise, reserve, settle, spending } from './agent-budget.ts';
import { AgentDriver, asks, of, text, toolNamed } from './agent-run.fixture.ts';
import type { Asked } from './agent-run.fixture.ts';

function begun(budget: Asked['budget'], params: Readonly<Record<string, unknown>> = {}) {
  const run = new AgentDriver();
  run.request({ budget, params });
  return run;
}

/** A run with a tool. */
function searching(budget: Asked['budget']) {
  const run = begun(budget, { tools: ['search'] });
  run.describe([toolNamed('search')]);
  return run;
}

function raised(run: AgentDriver, budget: object) {
  const data = JSON.parse(JSON.stringify({ raise_id: 'r1', budget }));
  return run.happen({ type: 'budget_raised', data });
}

describe('a budget', () => {
  it.each([
    ['usd', { usd: 0.001 }],
    ['tokens', { tokens: 1_000 }],
  ] as const)('of %s that the first call may break ends the run before it', (limit, budget) => {
    const run = begun(budget);
    expect(of('call_claude', run.commands)).toEqual([]);
    expect(run.end()).toMatchObject({
      status: 'failed',
      error: { code: 'budget_exceeded', detail: expect.stringContaining(`«${limit}»`) },
      spent: { usd: 0, tokens: 0, iterations: 0 },
    });
  });

  it('of iterations ends the run when it is used up', () => {
    const run = searching({ iterations: 1 });
    run.answer(1, asks(['search', {}]));
    run.toolResult(1, { output: 'x' });
    expect(run.end()?.error?.detail).toContain('«iterations»');
    expect(run.end()?.spent).toMatchObject({ iterations: 1, tool_calls: 1 });
  });

  it('of tool calls waits for those under way before it ends the run', () => {
    const run = searching({ tool_calls: 1 });
    const commands = run.answer(1, asks(['search', {}], ['search', {}]));
    expect(of('run_tool', commands)).toHaveLength(1);
    expect(run.workflow.status).toBe('running');
    run.toolResult(1, { output: 'x' });
    expect(run.end()?.error?.detail).toContain('«tool_calls»');
  });

  it('of seconds ends the run, and what is under way with it', () => {
    const run = begun({ seconds: 60 });
    expect(of('set_timer', run.commands)).toEqual([
      { kind: 'set_timer', name: 'deadline', at: run.now + 60_000 },
    ]);
    expect(run.timer('deadline', 59_000)).toMatchObject([{ kind: 'set_timer' }]);
    expect(of('cancel_call', run.timer('deadline', 1_000))).toHaveLength(1);
    expect(run.end()?.error?.detail).toContain('«seconds»');
  });

  it('in dollars needs a price', () => {
    const run = begun({ usd: 10 }, { model: 'claude-unheard-of' });
    expect(run.end()?.error).toEqual({
      code: 'invalid_request',
      detail: 'no price is known for claude-unheard-of: a budget in dollars cannot be kept',
    });
  });

  it('counts what was under way at the end at its most', () => {
    const run = begun({ usd: 1 });
    run.happen({ type: 'cancel_requested' });
    expect(run.end()?.spent.usd).toBeGreaterThan(0.01);
    expect(run.end()?.spent.iterations).toBe(1);
  });

  it('counts a failed call that may have been paid at its most, any other at nothing', () => {
    const spentBy = (outcome: 'unknown' | 'failed') => {
      const run = begun({ usd: 1 });
      const attempt = { number: 1, outcome, started_at: '', ended_at: '' };
      run.settle(1, { outcome: 'failed', kept: false, usage: undefined, attempts: [attempt] }, 0);
      return run.end()?.spent.usd;
    };
    expect(spentBy('unknown')).toBeGreaterThan(0.01);
    expect(spentBy('failed')).toBe(0);
  });

  it('counts an attempt that may have been paid beside the answer of the next one', () => {
    const run = begun({ usd: 1 });
    const attempts = (['unknown', 'succeeded'] as const).map((outcome, i) => {
      return { number: i + 1, outcome, started_at: '', ended_at: '' };
    });
    const message = { content: [{ type: 'text', text: 'Done.' }], stop_reason: 'end_turn' };
    run.settle(1, { message, attempts }, 100);
    const { spent } = run.end() ?? {};
    expect(spent?.usd).toBeGreaterThan(0.01);
    expect(spent?.iterations).toBe(1);
  });
});

describe('a budget that parks', () => {
  it('shows what may be spent, its defaults too, and which limit is reached', () => {
    const run = searching({ usd: 0.5, iterations: 1, on_reached: 'park' });
    const view = () => run.reducer.view(run.workflow.state);
    expect(view()).not.toHaveProperty('limit_reached');
    run.answer(1, asks(['search', {}]));
    run.toolResult(1, { output: 'x' });
    const limits = { usd: 0.5, iterations: 1, tool_calls: 500, seconds: 86_400 };
    expect(view()).toMatchObject({ limits, limit_reached: 'iterations', spent: { iterations: 1 } });
    raised(run, { iterations: 2 });
    expect(view()).toMatchObject({ limits: { iterations: 2 } });
    expect(view()).not.toHaveProperty('limit_reached');
  });

  it('waits for someone to raise it, and goes on where it was', () => {
    const run = searching({ iterations: 1, on_reached: 'park' });
    run.answer(1, asks(['search', {}]));
    run.toolResult(1, { output: 'x' });
    expect(run.workflow.status).toBe('awaiting_budget');
    expect(raised(run, { iterations: 1 })).toEqual([]);
    expect(run.last).toEqual({ kind: 'ignored', why: 'no limit becomes higher by it' });
    const commands = raised(run, { iterations: 2 });
    expect(of('call_claude', commands)).toMatchObject([{ callId: 'job-1/m2' }]);
    expect(run.workflow.status).toBe('running');
    run.answer(2, text('done'));
    expect(run.end()?.status).toBe('succeeded');
  });

  it('waits on when the raise is not enough', () => {
    const run = begun({ tokens: 10, on_reached: 'park' });
    raised(run, { tokens: 11 });
    expect(run.workflow.status).toBe('awaiting_budget');
    expect(of('call_claude', raised(run, { tokens: 100_000 }))).toHaveLength(1);
  });

  it('of seconds lets what is under way end, and starts nothing more', () => {
    const run = searching({ seconds: 60, on_reached: 'park' });
    run.answer(1, asks(['search', {}]));
    run.timer('deadline', 60_000);
    expect(run.workflow.status).toBe('running');
    run.toolResult(1, { output: 'x' });
    expect(run.workflow.status).toBe('awaiting_budget');
    expect(of('set_timer', run.commands).at(-1)).toMatchObject({ name: 'deadline' });
    const commands = raised(run, { seconds: 120 });
    expect(of('set_timer', commands)).toMatchObject([{ name: 'deadline' }]);
    expect(of('call_claude', commands)).toHaveLength(1);
  });
});

describe('a run that waits for a raise', () => {
  it('is over after a month, like any other', () => {
    const run = begun({ tokens: 10, seconds: 60, on_reached: 'park' });
    run.timer('deadline', 60_000);
    expect(run.workflow.status).toBe('awaiting_budget');
    run.timer('deadline', 30 * 86_400_000);
    expect(run.end()?.error?.code).toBe('budget_exceeded');
  });

  it('keeps that end when it is raised to a time that was over by then', () => {
    const run = begun({ seconds: 60, on_reached: 'park' });
    run.timer('deadline', 90_000);
    expect(of('set_timer', raised(run, { seconds: 80 }))).toEqual([]);
  });
});

describe('a ledger', () => {
  const budget = { usd: 1, tokens: 100, iterations: 10, tool_calls: 20 };

  it('keeps reserved = settled + released + open, also when more was spent than held', () => {
    const held = { ...nothing, micros: 600_000, tokens: 50 };
    const spent = { ...nothing, micros: 700_000, tokens: 20 };
    const ledger = settle(reserve(openLedger(budget), held), held, spent);
    expect(ledger).toMatchObject({
      reserved: { micros: 700_000, tokens: 50 },
      settled: { micros: 700_000, tokens: 20 },
      released: { micros: 0, tokens: 30 },
    });
    expect(spending(ledger)).toEqual({ usd: 0.7, tokens: 20, iterations: 0, tool_calls: 0 });
    expect(limitReached(ledger, { ...nothing, micros: 300_001 })).toBe('usd');
    expect(limitReached(ledger, { ...nothing, micros: 300_000, tokens: 80 })).toBeUndefined();
  });

  it('sums what answers used, also of a run that began when nobody counted it', () => {
    const ledger = openLedger(budget);
    expect(account(countUsage(ledger, undefined)).usage).toBeUndefined();
    const usage = { input_tokens: 3, output_tokens: 5, cache_read_input_tokens: null };
    const more = { ...usage, cache_creation_input_tokens: 7, cache_read_input_tokens: 11 };
    expect(account(countUsage(countUsage(ledger, usage), more)).usage).toEqual({
      input_tokens: 6,
      output_tokens: 10,
      cache_creation_input_tokens: 7,
      cache_read_input_tokens: 11,
    });
  });

  it('never lowers a limit, and gives none to money that has none', () => {
    const ledger = openLedger({ tokens: 100 });
    expect(raise(ledger, { tokens: 50, usd: 1 })).toBe(ledger);
    expect(raise(ledger, { tokens: 50, seconds: 100_000 }).limits).toMatchObject({
      tokens: 100,
      micros: null,
      seconds: 100_000,
    });
  });

  it('gives at least one of everything, and never more than is left', () => {
    const ledger = openLedger({ usd: 0.000_001, tokens: 1, iterations: 1, tool_calls: 1 });
    const { held } = allowance(ledger, { asked: { tokens: 9 }, sharers: 4, secondsLeft: -5 });
    expect(held).toEqual({ micros: 1, tokens: 1, iterations: 1, toolCalls: 1 });
  });
});
