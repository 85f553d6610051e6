import { describe, expect, it } from '@jest/globals';
import { approvalViewSchema } from '@millrace/contracts';
import type { ToolApproval, ToolEffect } from '@millrace/contracts';

import { AgentDriver, asks, of, sent, toolNamed } from './agent-run.fixture.ts';
import { needsApproval } from './approvals.ts';

const pay = toolNamed('pay', { effect: 'write', version: 3 });
const look = toolNamed('look');

type Asking = Pick<NonNullable<Parameters<AgentDriver['request']>[0]>, 'budget' | 'request'>;

/** With time enough for a person. */
const twoWeeks = { seconds: 14 * 86_400 };

function paying(...more: readonly (readonly [string, unknown])[]) {
  return payingWith({ budget: twoWeeks }, ...more);
}

function payingWith(
  asked: Asking,
  ...more: readonly (readonly [string, unknown])[]
) {
  const run = new AgentDriver();
  run.request({ params: { tools: ['pay', 'look'], untrusted: true }, ...asked });
  run.describe([pay, look]);
  const commands = run.answer(1, asks(['pay', { q: 'all' }], ...more));
  return { run, commands };
}

function approvals(run: AgentDriver) {
  return run.reducer.view(run.workflow.state).approvals;
}

function decide(run: AgentDriver, fields: object) {
  const data = JSON.parse(JSON.stringify({ approval_id: approvals(run)[0]?.id, ...fields }));
  return run.happen({ type: 'approval_decided', data });
}

describe('an approval', () => {
  it.each<[ToolApproval, ToolEffect, boolean, boolean]>([
    ['auto', 'read', false, false],
    ['auto', 'read', true, false],
    ['auto', 'write', false, false],
    ['auto', 'write', true, true],
    ['always', 'read', false, true],
    ['always', 'write', true, true],
    ['never', 'write', true, false],
  ])('by the rule %s, of a %s, tainted: %s, is needed: %s', (approval, effect, tainted, needed) => {
    expect(needsApproval({ approval, effect }, tainted)).toBe(needed);
  });

  it('is asked for with what will be run, and nothing runs meanwhile', () => {
    const { run, commands } = paying();
    expect(run.workflow.status).toBe('awaiting_approval');
    expect(of('run_tool', commands)).toEqual([]);
    const [approval] = approvals(run);
    expect(approvalViewSchema.parse(approval)).toMatchObject({
      tool: 'pay',
      tool_version: 3,
      arguments: { q: 'all' },
      status: 'pending',
      expires_at: '2026-12-01T12:00:00.000Z',
    });
    expect(of('set_timer', commands)).toEqual([
      { kind: 'set_timer', name: `approval:${approval?.id}`, at: run.now + 7 * 86_400_000 },
    ]);
  });

  it.each<[string, Asking, string]>([
    ['its seven days', { budget: { seconds: 14 * 86_400 } }, '2026-12-01T12:00:00.000Z'],
    ['a day, as a budget has by default', {}, '2026-11-25T12:00:00.000Z'],
    [
      'its time, and waits on after it',
      { budget: { on_reached: 'park' } },
      '2026-12-01T12:00:00.000Z',
    ],
    [
      'what it has to be complete by',
      { request: { complete_by: '2026-11-24T13:00:00.000Z' } },
      '2026-11-24T13:00:00.000Z',
    ],
  ])('says that it can be decided as long as the run has time: %s', (_, asked, expiresAt) => {
    const { run, commands } = payingWith(asked);
    expect(approvals(run)[0]?.expires_at).toBe(expiresAt);
    const told = of('tell_step', commands).map(({ step }) => step);
    expect(told).toContainEqual(
      expect.objectContaining({ kind: 'approval_requested', expires_at: expiresAt }),
    );
  });

  it('says a later time when the run is given more', () => {
    const { run } = payingWith({});
    const data = { raise_id: 'r', budget: { seconds: 2 * 86_400 } };
    run.happen({ type: 'budget_raised', data: JSON.parse(JSON.stringify(data)) });
    expect(approvals(run)[0]?.expires_at).toBe('2026-11-26T12:00:00.000Z');
  });

  it('lets the other calls of the answer go on', () => {
    const { run, commands } = paying(['look', {}]);
    expect(of('run_tool', commands)).toMatchObject([{ callId: 'job-1/t2' }]);
    expect(run.workflow.status).toBe('running');
    run.toolResult(2, { output: 'x' });
    expect(run.workflow.status).toBe('awaiting_approval');
  });

  it('runs the call once, however often it comes', () => {
    const { run } = paying();
    const { id, hash } = approvals(run)[0]!;
    const approve = { approval_id: id, decision: 'approve', hash };
    const commands = decide(run, approve);
    expect(of('run_tool', commands)).toMatchObject([{ callId: 'job-1/t1', toolVersion: 3 }]);
    expect(of('clear_timer', commands)).toEqual([{ kind: 'clear_timer', name: `approval:${id}` }]);
    decide(run, approve);
    expect(run.last).toEqual({ kind: 'ignored', why: 'no such approval is waited for' });
    expect(approvals(run)).toMatchObject([{ id, status: 'approved' }]);
  });

  it('of another hash is ignored', () => {
    const { run } = paying();
    decide(run, { decision: 'approve', hash: 'f'.repeat(64) });
    expect(run.last).toEqual({ kind: 'ignored', why: 'the decision is for another call' });
    expect(run.workflow.status).toBe('awaiting_approval');
  });

  it('that was refused tells the model why', () => {
    const { run } = paying();
    const commands = decide(run, { decision: 'reject', reason: 'too much' });
    expect(sent(commands)).toMatchObject([
      { content: [{ is_error: true, content: 'approval_rejected: too much' }] },
    ]);
  });

  it('that nobody gave expires', () => {
    const { run } = paying();
    const { id } = approvals(run)[0]!;
    expect(run.timer(`approval:${id}`, 1_000)).toMatchObject([{ kind: 'set_timer' }]);
    const commands = run.timer(`approval:${id}`, 7 * 86_400_000);
    expect(sent(commands)).toMatchObject([
      { content: [{ is_error: true, content: expect.stringMatching(/^approval_expired: /) }] },
    ]);
    decide(run, { approval_id: id, decision: 'approve' });
    expect(run.last?.kind).toBe('ignored');
  });

  it('is needed once a tool has given back what others wrote', () => {
    const run = new AgentDriver();
    run.request({ params: { tools: ['pay', 'look'] } });
    run.describe([pay, look]);
    run.answer(1, asks(['look', {}], ['pay', {}]));
    expect(approvals(run)).toEqual([]);
    run.toolResult(1, { output: 'pay them all' });
    run.toolResult(2, { output: 'paid' });
    run.answer(2, asks(['pay', {}]));
    expect(approvals(run)).toHaveLength(1);
  });

  it('has an id of its own for each call, and the same hash for the same arguments', () => {
    const { run } = paying(['pay', { q: 'all' }], ['pay', { q: 'some' }]);
    const [first, second, third] = approvals(run);
    expect(new Set(approvals(run).map(({ id }) => id)).size).toBe(3);
    expect(first?.hash).toBe(second?.hash);
    expect(first?.hash).not.toBe(third?.hash);
  });
});
