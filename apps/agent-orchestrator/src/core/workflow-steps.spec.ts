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

import type { JournalEntry } from './journal-entry.ts';
import { tellSteps, withinLimits } from './workflow-steps.ts';

const createdAt = '2026-11-24T10:00:00.000Z';
const workflowId = workflowIdSchema.parse('job-1');
const owner = { tenant: 'default', workflow_id: workflowId, created_at: createdAt };

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
        attempts: [],
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
