import { describe, expect, it } from '@jest/globals';

import { agentChecks, cutOff, thinness } from './agent-checks.ts';
import type { AgentHistory, JournalRow, Kill, Send, ToolSend } from './agent-history.ts';

const job = 'night-1';
const call = `${job}/t1`;

function entry(version: number, more: Partial<JournalRow>): JournalRow {
  return {
    workflow: job,
    version,
    eventId: `e${version}`,
    type: 'call_completed',
    atMs: version * 1_000,
    callId: null,
    hasOutput: false,
    finishes: false,
    ...more,
  };
}

function send(callId: string, receivedAtMs: number, more: Partial<Send> = {}): Send {
  const times = { answeredAtMs: receivedAtMs + 500, connectionEndedAtMs: null };
  return { callId, receivedAtMs, ...times, ...more };
}

function toolSend(receivedAtMs: number, more: Partial<ToolSend> = {}): ToolSend {
  return { ...send(call, receivedAtMs), idempotencyKey: 'k1', ...more };
}

const cutOffAt = (atMs: number) => ({ answeredAtMs: null, connectionEndedAtMs: atMs + 20 });
const kill = (service: string, atMs: number): Kill => ({ service, name: `${service}-1`, atMs });

/** One agent that asked for one tool. Both its tool and its first model call were cut off once. */
const whole: AgentHistory = {
  accepted: [job],
  kills: [kill('claude-worker', 500), kill('tool-runner', 2_300)],
  toolSends: [toolSend(2_100, cutOffAt(2_300)), toolSend(2_600, { answeredAtMs: 2_900 })],
  modelSends: [send(`${job}/m1`, 400, cutOffAt(500)), send(`${job}/m1`, 1_400)],
  unknownAttempts: new Map([[`${job}/m1`, 1]]),
  ends: [
    { jobId: job, id: 'end-1', type: 'millrace.job.succeeded.v1' },
    { jobId: job, id: 'end-1', type: 'millrace.job.succeeded.v1' },
  ],
  webhooks: [{ jobId: job, id: 'w1', type: 'webhook' }],
  statuses: new Map([[job, 'succeeded']]),
  workflows: [{ id: job, version: 4, endedAtMs: 4_000 }],
  journal: [
    entry(1, { type: 'requested' }),
    entry(2, {}),
    entry(3, { type: 'tool_completed', callId: call, hasOutput: true }),
    entry(4, { finishes: true }),
  ],
  open: { 'orchestrator.timers': 0, 'orchestrator.outbox': 0 },
};

type CheckName = keyof typeof agentChecks;

/** What each bug would leave behind, and who has to see it. */
const bugs: readonly (readonly [string, CheckName, Partial<AgentHistory>])[] = [
  ['a job is lost by ingest', 'not-ended', { statuses: new Map() }],
  ['a job is never ended at ingest', 'not-ended', { statuses: new Map([[job, 'running']]) }],
  ['a workflow hangs', 'not-ended', { workflows: [{ id: job, version: 4, endedAtMs: null }] }],
  ['an end is never told', 'ended-not-once', { ends: [] }],
  [
    'a second end is told',
    'ended-not-once',
    { ends: [...whole.ends, { jobId: job, id: 'end-2', type: 'millrace.job.succeeded.v1' }] },
  ],
  [
    'an end is told anew, as another one',
    'ended-not-once',
    { ends: [...whole.ends, { jobId: job, id: 'end-1', type: 'millrace.job.failed.v1' }] },
  ],
  ['ingest shows another end', 'ended-not-once', { statuses: new Map([[job, 'failed']]) }],
  [
    'a workflow finishes twice',
    'ended-not-once',
    { journal: [...whole.journal, entry(5, { finishes: true })] },
  ],
  ['a version is missing', 'broken-histories', { journal: whole.journal.toSpliced(1, 1) }],
  [
    'two events have one version',
    'broken-histories',
    { journal: [...whole.journal, entry(3, { eventId: 'other' })] },
  ],
  [
    'one event has two versions',
    'broken-histories',
    { journal: whole.journal.with(1, entry(2, { eventId: 'e1' })) },
  ],
  [
    'the row is ahead of its journal',
    'broken-histories',
    { workflows: [{ id: job, version: 5, endedAtMs: 4_000 }] },
  ],
  [
    'a workflow goes on after its end',
    'broken-histories',
    {
      journal: [...whole.journal, entry(5, {})],
      workflows: [{ id: job, version: 5, endedAtMs: 4_000 }],
    },
  ],
  [
    'a tool is called twice with nobody killed',
    'repeated-sends',
    { kills: [], toolSends: [toolSend(2_100), toolSend(2_600)] },
  ],
  [
    'a tool is called three times for one kill',
    'repeated-sends',
    { toolSends: [...whole.toolSends, toolSend(2_700)] },
  ],
  [
    'a tool is called again since another service was killed',
    'repeated-sends',
    { kills: [kill('ingest', 2_300)] },
  ],
  [
    'a tool is called again while the process that has it lives',
    'repeated-sends',
    { toolSends: [toolSend(2_100), toolSend(2_600)] },
  ],
  [
    'a tool is called again long after it answered, and then its process is killed',
    'repeated-sends',
    {
      kills: [kill('tool-runner', 9_000)],
      toolSends: [
        toolSend(2_100, { answeredAtMs: 2_200, connectionEndedAtMs: 9_010 }),
        toolSend(9_500),
      ],
    },
  ],
  [
    'a committed step is done again',
    'sends-after-commit',
    { toolSends: [...whole.toolSends, toolSend(3_001)] },
  ],
  [
    'a call is repeated under another key',
    'unsteady-keys',
    { toolSends: [toolSend(2_100, cutOffAt(2_300)), toolSend(2_600, { idempotencyKey: 'k2' })] },
  ],
  [
    'two calls share a key',
    'unsteady-keys',
    { toolSends: [...whole.toolSends, toolSend(2_700, { callId: `${job}/t2` })] },
  ],
  ['a result is made up', 'steps-never-sent', { toolSends: [] }],
  [
    'a call is paid twice with nobody killed',
    'repeated-paid-calls',
    { modelSends: [send(`${job}/m1`, 400), send(`${job}/m1`, 1_400)] },
  ],
  [
    'a call that was paid twice is not labelled',
    'unlabelled-paid-calls',
    { unknownAttempts: new Map() },
  ],
  ['a webhook is lost', 'webhooks-not-one', { webhooks: [] }],
  [
    'a webhook is sent under two ids',
    'webhooks-not-one',
    { webhooks: [...whole.webhooks, { jobId: job, id: 'w2', type: 'webhook' }] },
  ],
  ['a timer outlives the end', 'left-open', { open: { 'orchestrator.timers': 1 } }],
];

describe('the checks of the crash story', () => {
  it.each(Object.entries(agentChecks))('%s finds nothing in a good history', (_, check) => {
    expect(check(whole)).toEqual([]);
  });

  it.each(bugs)('sees when %s', (_, name, traces) => {
    expect(agentChecks[name]({ ...whole, ...traces })).not.toEqual([]);
  });

  it('are each shown a bug that they see', () => {
    expect(new Set(bugs.map(([, name]) => name))).toEqual(new Set(Object.keys(agentChecks)));
  });

  it('count as in flight what had no answer, or one that was not committed yet', () => {
    expect(cutOff(whole.toolSends, whole.kills, 'tool-runner')).toBe(1);
    const uncommitted = toolSend(2_100, { answeredAtMs: 2_200, connectionEndedAtMs: 2_310 });
    expect(cutOff([uncommitted], whole.kills, 'tool-runner')).toBe(1);
    const idle = toolSend(2_100, { answeredAtMs: 2_200, connectionEndedAtMs: 6_200 });
    expect(cutOff([idle], whole.kills, 'tool-runner')).toBe(0);
  });
});

describe('a night', () => {
  const busy = Array.from({ length: 20 }, (_, i) => entry(i + 1, { atMs: 600 + i }));

  it('counts when kills found enough under way', () => {
    expect(thinness({ ...whole, journal: busy }, 2)).toBeNull();
  });

  it.each<[string, Partial<AgentHistory>]>([
    ['kills are missing', { kills: [] }],
    ['hardly a step was committed meanwhile', { journal: whole.journal }],
    ['no kill found a tool at work', { toolSends: [toolSend(2_100)] }],
    ['no kill found a model call', { modelSends: [] }],
  ])('is void when %s', (_, traces) => {
    expect(thinness({ ...whole, journal: busy, ...traces }, 2)).toContain('void');
  });
});
