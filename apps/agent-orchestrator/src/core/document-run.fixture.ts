import { workflowRequestedSchema } from '@millrace/contracts';
import type { ClaudeCompleted, WorkflowRequested } from '@millrace/contracts';

import type { Happening } from './agent-run.fixture.ts';
import { createdAt, prices, startedAt } from './agent-run.fixture.ts';
import { documentReducer } from './document-reducer.ts';
import type { DocumentState } from './document-state.ts';
import type { Command, Decision, Reducer, Workflow, WorkflowEvent } from './workflow.ts';

type Call = Extract<Command, { kind: 'call_claude' }>;

/** What a spec says of a document; the rest is filled in. */
export interface AskedDocument {
  readonly params?: object;
  readonly budget?: WorkflowRequested['budget'];
  readonly request?: object;
}

/** One document's run, driven event by event as the shell would. */
export class DocumentDriver {
  workflow: Workflow<DocumentState>;
  now = startedAt;
  readonly commands: Command[] = [];
  last: Decision<DocumentState> | undefined;
  #events = 0;

  constructor(
    readonly id = 'doc-1',
    readonly reducer: Reducer<DocumentState> = documentReducer(prices),
  ) {
    const row = { tenant: 'default', id, kind: 'document', schemaVersion: 1, version: 0 };
    this.workflow = JSON.parse(JSON.stringify({ ...row, status: 'queued', state: null }));
  }

  happen(event: Happening): readonly Command[] {
    this.#events += 1;
    const whole: WorkflowEvent = { eventId: `e${this.#events}`, ...event };
    const before = JSON.stringify(this.workflow);
    const decision = this.reducer.decide(this.workflow, whole, this.now);
    if (JSON.stringify(this.workflow) !== before) throw new Error('the state was changed in place');
    this.last = decision;
    if (decision.kind === 'ignored') return [];
    const { commands, state, status } = decision;
    const version = this.workflow.version + 1;
    this.workflow = JSON.parse(JSON.stringify({ ...this.workflow, status, version, state }));
    this.commands.push(...commands);
    return commands;
  }

  request(asked: AskedDocument = {}) {
    return this.happen({ type: 'requested', data: this.requestOf(asked) });
  }

  requestOf(o: AskedDocument): WorkflowRequested {
    return workflowRequestedSchema.parse({
      tenant: 'default',
      job_id: this.id,
      type: 'document',
      stream: true,
      params: {
        document: { id: 'doc_1' },
        prompt: 'Summarise it.',
        model: 'claude-sonnet-5-5',
        ...o.params,
      },
      ...(o.budget === undefined ? {} : { budget: o.budget }),
      reply: { kind: 'job', created_at: createdAt },
      ...o.request,
    });
  }

  /** Into so many parts of 100 tokens each. */
  split(parts: number) {
    return this.splitInto(Array.from({ length: parts }, () => 100));
  }

  /** Into parts of so many tokens at most. */
  splitInto(parts: readonly number[]) {
    return this.#told({ parts_ref: 'blob_doc', parts });
  }

  splitFailed(code: string) {
    return this.#told({ error: { code, detail: 'it is so' } });
  }

  #told(fields: object) {
    const names = { workflow_id: this.id, call_id: `${this.id}/t0`, token: 't' };
    const data = JSON.parse(JSON.stringify({ ...names, ...fields }));
    return this.happen({ type: 'document_split', data });
  }

  answer(callId: string, text: string, stopReason = 'end_turn') {
    const content = [{ type: 'text', text }];
    const message = { role: 'assistant', content, stop_reason: stopReason };
    return this.settle(callId, { message });
  }

  settle(callId: string, fields: Partial<ClaudeCompleted>, costMicros = 100) {
    const data = JSON.parse(
      JSON.stringify({
        tenant: 'default',
        workflow_id: this.id,
        created_at: createdAt,
        call_id: callId,
        outcome: 'answered',
        kept: false,
        usage: { input_tokens: 40, output_tokens: 10 },
        attempts: [],
        finished_at: createdAt,
        ...fields,
      }),
    );
    return this.happen({ type: 'call_completed', data, costMicros });
  }

  timer(name: string, afterMs = 0) {
    this.now += afterMs;
    return this.happen({ type: 'timer_fired', name });
  }

  raise(budget: object) {
    const data = JSON.parse(JSON.stringify({ tenant: 'default', raise_id: 'r', budget }));
    return this.happen({ type: 'budget_raised', data });
  }

  /** When the timer of a name is due that was set last. */
  dueAt(name: string): number | undefined {
    const set = this.commands.filter((one) => one.kind === 'set_timer' && one.name === name).at(-1);
    return set?.kind === 'set_timer' ? set.at : undefined;
  }

  end() {
    const finish = this.commands.find((command) => command.kind === 'finish');
    return finish?.kind === 'finish' ? finish.end : undefined;
  }
}

export function callsIn(commands: readonly Command[]): Call[] {
  return commands.filter((command): command is Call => command.kind === 'call_claude');
}

/** What a call is about: the number of a part, or all the numbers that stand in its messages. */
export function aboutOf({ params, paramsRef }: Call): string {
  if (paramsRef !== undefined) return `[${paramsRef.split('.').at(-1)}]`;
  return [...JSON.stringify(params).matchAll(/\[\d+\]/g)].join('');
}
