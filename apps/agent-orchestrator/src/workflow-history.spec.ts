import { describe, expect, it, jest } from '@jest/globals';
import {
  IdentityPayloadCodec,
  workflowAnswerSchema,
  workflowRequestedSchema,
  workflowStepsBytesMax,
} from '@millrace/contracts';

import { agentReducer } from './core/agent-reducer.ts';
import { createdAt, prices, RecordedRun, text } from './core/agent-run.fixture.ts';
import type { HeldWorkflow } from './core/fold.ts';
import type { JournalEntry } from './core/journal-entry.ts';
import { Workflows, type JournalPage } from './ports.ts';
import { StoredBodies } from './stored-bodies.ts';
import { WorkflowHistory } from './workflow-history.ts';

const head = workflowRequestedSchema.parse({
  tenant: 'default',
  job_id: 'job-1',
  type: 'agent',
  reply: { kind: 'job', created_at: createdAt },
});

/** One run, as its row and journal are. */
class OneRun extends Workflows {
  constructor(
    private readonly run: RecordedRun,
    private readonly entries: readonly JournalEntry[],
  ) {
    super();
  }

  override find(): Promise<HeldWorkflow> {
    return Promise.resolve({ ...this.run.workflow, head, parkedCode: null });
  }

  override journal(): Promise<JournalPage> {
    return Promise.resolve({ entries: [...this.entries], bytes: 1, next: null });
  }

  override apply = () => Promise.resolve([]);
  override answers = () => Promise.resolve([]);
  override park = () => Promise.resolve();
}

/** A run of one call, of which both what is asked and what is answered lie elsewhere. */
function referring(): OneRun {
  const run = new RecordedRun();
  run.request();
  run.answer(1, text('said'));
  const entries = run.entries.map(({ event, commands, ...entry }): JournalEntry => {
    const { data } = event.type === 'call_completed' ? event : { data: undefined };
    return {
      ...entry,
      event:
        event.type === 'call_completed' && data !== undefined
          ? { ...event, data: { ...data, message: undefined, message_ref: 'blob_answer' } }
          : event,
      commands: commands.map((command) => {
        if (command.kind !== 'call_claude') return command;
        const { params: _params, ...call } = command;
        return { ...call, paramsRef: 'blob_question' };
      }),
    };
  });
  return new OneRun(run, entries);
}

const messages = [{ role: 'user', content: 'Part 1 of 2' }];
const content = [{ type: 'text', text: 'said' }];

const name = { tenant: 'default', id: head.job_id, day: '2026-11-24' };

function historyOf(run: OneRun, blobs: Readonly<Record<string, object>>): WorkflowHistory {
  const get = (_: string, id: string) =>
    Promise.resolve(id in blobs ? Buffer.from(JSON.stringify(blobs[id])) : null);
  const bodies = new StoredBodies({ get }, new IdentityPayloadCodec());
  return new WorkflowHistory(run, [agentReducer(prices)], bodies);
}

async function callOf(blobs: Readonly<Record<string, object>>) {
  const answer = await historyOf(referring(), blobs).of(name);
  return answer?.steps.find(({ kind }) => kind === 'model_call');
}

describe('how a run stands', () => {
  it('is told without reading its journal', async () => {
    const run = referring();
    const read = jest.spyOn(run, 'journal');
    const history = historyOf(run, {});
    const standing = await history.standing(name);
    expect(read).not.toHaveBeenCalled();
    expect(standing).toEqual({ ...(await history.of(name)), steps: [] });
    expect(workflowAnswerSchema.safeParse(standing).success).toBe(true);
  });
});

describe('a call whose messages lie elsewhere', () => {
  it('is shown with them', async () => {
    const call = await callOf({ blob_question: { messages }, blob_answer: { content } });
    expect(call).toMatchObject({ input: messages, output: content });
    expect(call).not.toHaveProperty('cut');
  });

  it('is cut when they are kept no longer', async () => {
    const call = await callOf({ blob_answer: { content } });
    expect(call).toMatchObject({ output: content, cut: true });
    expect(call).not.toHaveProperty('input');
  });

  it('is cut when they are longer than what is shown', async () => {
    const long = [{ role: 'user', content: 'x'.repeat(workflowStepsBytesMax) }];
    const call = await callOf({ blob_question: { messages: long }, blob_answer: { content } });
    expect(call).toMatchObject({ cut: true });
    expect(call).not.toHaveProperty('input');
  });
});
