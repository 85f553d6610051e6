import { describe, expect, it } from '@jest/globals';
import {
  callIdSchema,
  claudeCompletedSchema,
  toolCompletedSchema,
  workflowIdSchema,
  workflowRequestedSchema,
  workflowStepSchema,
  workflowStepsMax,
  type WorkflowStep,
} from '@millrace/contracts';

import { asks, RecordedRun, toolNamed } from './agent-run.fixture.ts';
import { recordedKey } from './forks.ts';
import type { JournalEntry } from './journal-entry.ts';
import { tellSteps, withinLimits } from './workflow-steps.ts';

const createdAt = '2026-11-24T10:00:00.000Z';
const workflowId = workflowIdSchema.parse('job-1');
const owner = { tenant: 'default', workflow_id: workflowId, created_at: createdAt };

const attempt = (number: number, outcome: string) => ({
  number,
  outcome,
  started_at: createdAt,
  ended_at: createdAt,
});

const journal: JournalEntry[] = [
  {
    version: 1,
    atMs: 1_000,
    event: {
      eventId: 'requested',
      type: 'requested',
      data: workflowRequestedSchema.parse({
        tenant: 'default',
        job_id: 'job-1',
        type: 'agent',
        reply: { kind: 'job', created_at: createdAt },
      }),
    },
    commands: [
      { kind: 'call_claude', callId: 'job-1/m1', seq: 1, turn: 1, params: { messages: ['hi'] } },
    ],
  },
  {
    version: 2,
    atMs: 2_000,
    event: {
      eventId: 'm1:completed',
      type: 'call_completed',
      costMicros: 1_500,
      data: claudeCompletedSchema.parse({
        ...owner,
        call_id: 'job-1/m1',
        outcome: 'answered',
        model: 'claude-sonnet-5-5',
        message: { content: ['answer'] },
        kept: true,
        usage: { input_tokens: 1, output_tokens: 2 },
        attempts: [attempt(1, 'unknown'), attempt(2, 'succeeded')],
        finished_at: createdAt,
      }),
    },
    commands: [1, 2].map((n) => ({
      kind: 'run_tool' as const,
      callId: `job-1/t${n}`,
      via: 'runner' as const,
      tool: 'look',
      toolVersion: 1,
      arguments: { n },
      attempt: 1,
      deadline: 9_000,
    })),
  },
  {
    version: 3,
    atMs: 3_000,
    event: {
      eventId: 't2:1:completed',
      type: 'tool_completed',
      data: toolCompletedSchema.parse({
        workflow_id: 'job-1',
        call_id: 'job-1/t2',
        token: 't',
        error: { code: 'tool_failed', detail: 'no' },
      }),
    },
    commands: [],
  },
];

describe('the steps of a workflow', () => {
  const steps = [...tellSteps(workflowId, journal).steps.values()];

  it('stand in the order of their beginning, each under the version that ended it', () => {
    expect(steps.map(({ kind, id, step }) => [kind, id, step])).toEqual([
      ['started', 'job-1', 1],
      ['model_call', 'job-1/m1', 2],
      ['tool_call', 'job-1/t1', 2],
      ['tool_call', 'job-1/t2', 3],
    ]);
    for (const step of steps) workflowStepSchema.parse(step);
  });

  it('tell input, output, times and cost, and of what is under way that it has no end', () => {
    expect(steps[1]).toMatchObject({
      at: '1970-01-01T00:00:01.000Z',
      ended_at: '1970-01-01T00:00:02.000Z',
      input: ['hi'],
      output: ['answer'],
      cost_usd: 0.0015,
      is_error: false,
    });
    expect(steps[2]).not.toHaveProperty('ended_at');
    expect(steps[3]).toMatchObject({ is_error: true, error: { code: 'tool_failed' } });
  });

  it('tell which attempts came to no answer: what is unknown may have been paid', () => {
    expect(steps[1]).toMatchObject({ attempts: 2, unanswered: [attempt(1, 'unknown')] });
  });

  it('tell of a document which one it is', () => {
    const params = { document: { url: 'https://a.example/' }, prompt: 'p' };
    const split = { kind: 'split_document' as const, callId: 'job-1/t0', params };
    const entry = { ...journal[0]!, commands: [split] };
    const told = [...tellSteps(workflowId, [entry]).steps.values()];
    expect(told[1]).toMatchObject({ kind: 'split', input: params.document });
  });

  it('are the same page by page', () => {
    const told = journal.reduce<ReturnType<typeof tellSteps> | undefined>(
      (before, entry) => tellSteps(workflowId, [entry], before),
      undefined,
    );
    expect([...(told?.steps.values() ?? [])]).toEqual(steps);
  });

  it('hold no more than is shown of them, however much a journal has', () => {
    const long = { saw: 'x'.repeat(700_000) };
    const data = toolCompletedSchema.parse({
      ...{ workflow_id: 'job-1', call_id: 'job-1/t1', token: 't' },
      output: long,
    });
    const ended = (n: number): JournalEntry => ({
      version: 3 + n,
      atMs: 4_000,
      event: {
        eventId: `t${n}`,
        type: 'tool_completed',
        data: { ...data, call_id: callIdSchema.parse(`job-1/t${n}`) },
      },
      commands: [],
    });
    const first = tellSteps(workflowId, [...journal, ended(1)]);
    const told = [...tellSteps(workflowId, [ended(2)], first).steps.values()];
    expect(told[2]).toMatchObject({ output: long });
    expect(told[3]).toMatchObject({ step: 5, cut: true });
    expect(told[3]).not.toHaveProperty('output');
  });
});

/** A step of a run as it is shown. */
function shown({ entries, id }: RecordedRun, stepId: string) {
  const { steps } = tellSteps(workflowIdSchema.parse(id), entries);
  const found = [...steps.values()].find((step) => step.id === stepId);
  return found && workflowStepSchema.parse(found);
}

describe('a step of which no event says the end', () => {
  const look = toolNamed('look');
  const pay = toolNamed('pay', { approval: 'always' });
  const run = (params: object = {}, request: object = {}) => {
    const begun = new RecordedRun();
    // Nobody listens: what a timeline shows does not depend on it.
    const tools = [look.name, pay.name];
    begun.request({ params: { tools, ...params }, request: { stream: false, ...request } });
    begun.describe([look, pay]);
    return begun;
  };

  it('is a tool that was given up by its timer', () => {
    const begun = run();
    begun.answer(1, asks(['look', { q: 'a' }]));
    expect(shown(begun, 'job-1/t1')).not.toHaveProperty('ended_at');
    begun.timer('tool:job-1/t1', 86_400_000);
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      ended_at: expect.any(String),
      input: { q: 'a' },
      error: { code: 'tool_timeout' },
      is_error: true,
    });
  });

  it('is an approval that nobody gave, and the call that it was for', () => {
    const begun = run();
    begun.answer(1, asks(['pay', { q: '5' }]));
    const id = begun.reducer.view(begun.workflow.state).approvals[0]?.id ?? '';
    expect(shown(begun, id)).toMatchObject({ kind: 'approval', name: 'pay', input: { q: '5' } });
    expect(shown(begun, id)).not.toHaveProperty('ended_at');
    begun.timer(`approval:${id}`, 7 * 86_400_000);
    expect(shown(begun, id)).toMatchObject({
      ended_at: expect.any(String),
      output: { decision: 'expired' },
    });
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      name: 'pay',
      input: { q: '5' },
      error: { code: 'approval_expired' },
    });
  });

  it('is what was under way at a cancel', () => {
    const begun = run();
    begun.answer(1, asks(['look', {}], ['pay', {}]));
    begun.toolResult(1, { output: 'seen' });
    const { id } = begun.reducer.view(begun.workflow.state).approvals[0]!;
    begun.happen({ type: 'cancel_requested' });
    expect(shown(begun, id)).toMatchObject({ error: { code: 'cancelled' } });
    expect(shown(begun, 'job-1/t1')).toMatchObject({ output: 'seen', is_error: false });
    const asking = new RecordedRun('job-2');
    asking.request();
    asking.happen({ type: 'cancel_requested' });
    expect(shown(asking, 'job-2/m1')).toMatchObject({
      ended_at: expect.any(String),
      error: { code: 'cancelled' },
    });
  });

  it('is a sub-agent, with its name and what it was asked', () => {
    const begun = run({ agents: [{ name: 'helper', description: 'Helps.' }] });
    begun.answer(1, asks(['helper', { prompt: 'Find it.' }]));
    const asked = { kind: 'child', name: 'helper', input: { prompt: 'Find it.' } };
    expect(shown(begun, 'job-1/c1')).toMatchObject(asked);
    begun.happen({ type: 'cancel_requested' });
    expect(shown(begun, 'job-1/c1')).toMatchObject({ ...asked, error: { code: 'cancelled' } });
  });

  it('is a call that was refused at once', () => {
    const begun = run();
    begun.answer(1, asks(['nothing', { a: 1 }], ['look', { q: 7 }]));
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      name: 'nothing',
      input: { a: 1 },
      error: { code: 'unknown_tool' },
    });
    expect(shown(begun, 'job-1/t2')).toMatchObject({
      input: { q: 7 },
      error: { code: 'invalid_arguments' },
    });
  });

  it('is a result that does not fit what the tool says of itself', () => {
    const begun = run();
    begun.answer(1, asks(['look', {}]));
    begun.toolResult(1, { output: 'x'.repeat(look.result_bytes_max + 1) });
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      error: { code: 'result_too_large' },
      is_error: true,
    });
  });

  it('is a wait for a signal', () => {
    const begun = run({ signals: ['go'] });
    begun.answer(1, asks(['wait_for_signal', { name: 'go' }]));
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      name: 'wait_for_signal',
      input: { name: 'go' },
    });
    expect(shown(begun, 'job-1/t1')).not.toHaveProperty('ended_at');
    const signal = { name: 'go', signal_id: 's1', data: { ok: true } };
    const data = JSON.parse(JSON.stringify(signal));
    begun.happen({ type: 'signalled', data });
    expect(shown(begun, 'job-1/t1')).toMatchObject({
      ended_at: expect.any(String),
      output: expect.stringContaining('{"ok":true}'),
      is_error: false,
    });
  });

  it('is a result that a fork takes over', () => {
    const write = toolNamed('pay', { effect: 'write' });
    const fork = new RecordedRun();
    const from = { workflow_id: 'job-0', created_at: '2026-11-24T11:59:59.000Z', from_step: 4 };
    const recorded = { [recordedKey('pay', { q: '5' })]: { output: 'paid 5' } };
    const forked = { state: {}, schemaVersion: 1, messages: [], recorded };
    const request = { fork: { ...from, allow_side_effects: false } };
    fork.request({ params: { tools: ['pay'] }, request }, forked);
    fork.describe([write]);
    fork.answer(1, asks(['pay', { q: '5' }]));
    expect(shown(fork, 'job-1/t1')).toMatchObject({
      input: { q: '5' },
      output: expect.stringContaining('paid 5'),
      is_error: false,
    });
  });
});

describe('an answer of steps', () => {
  const bare = (n: number): WorkflowStep => ({
    step: n,
    workflow_id: workflowId,
    kind: 'signal',
    id: `s${n}`,
    at: createdAt,
  });

  it('has a thousand of them at most, and says that there are more', () => {
    const many = Array.from({ length: workflowStepsMax + 1 }, (_, n) => bare(n + 1));
    const { steps, truncated } = withinLimits(many);
    expect([steps.length, truncated]).toEqual([workflowStepsMax, true]);
  });

  it('cuts what is long, and nothing else', () => {
    const long = { ...bare(1), output: 'x'.repeat(2 * 1024 * 1024) };
    const { steps, truncated } = withinLimits([long, bare(2)]);
    expect(truncated).toBe(false);
    expect(steps[0]).toEqual({ ...bare(1), cut: true });
    expect(steps[1]).toEqual(bare(2));
  });
});
