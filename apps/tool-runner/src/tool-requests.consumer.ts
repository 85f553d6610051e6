import {
  jobDayOf,
  PayloadCodec,
  topics,
  type DocumentSplitRequested,
  type OutgoingMessage,
  type ToolCancelRequested,
  type ToolDescribeRequested,
  type ToolRunRequested,
} from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { injectTrace } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import { Controller } from '@nestjs/common';

import { askGroups } from './core/ask-groups.ts';
import { failed, toolFailed } from './core/completion.ts';
import {
  describeAtOnce,
  describedCompletion,
  namedTools,
  needsNetwork,
  registeredNames,
} from './core/describe.ts';
import {
  executionId,
  type Execution,
  type ExecutionName,
  type ExecutionRequest,
  type NewExecution,
} from './core/execution.ts';
import { OriginSlots } from './core/origin-slots.ts';
import type { Outcome } from './core/outcome.ts';
import { originOfTool, type Tool } from './core/tool.ts';
import { parseToolName } from './core/tool-name.ts';
import { completionMessage } from './execution-policy.ts';
import { Executions, Tools, type Inserted } from './ports.ts';

/** Of some 150 KiB at most, as one statement brings them. */
const toolsReadMax = 256;

type ToolEvent =
  | ToolRunRequested
  | ToolDescribeRequested
  | DocumentSplitRequested
  | ToolCancelRequested;
type Record = EventRecord<ToolEvent>;

/** A request, and the record that brought it. */
interface Intake {
  readonly record: Record;
  readonly request: ExecutionRequest;
}

/**
 * Takes requests in: one batched insert, at once as ours where a slot is free. It waits for no
 * tool. A request that comes again changes nothing; what has ended is told again, word for word.
 * What tools are is told at once, unless a server has to be asked.
 *
 * Cancels come by the same topic and key. Requests of a batch go first, so that a cancel finds the
 * row that it follows; one that really comes first leaves a row that is never run.
 */
@Controller()
export class ToolRequestsConsumer {
  constructor(
    private readonly executions: Executions,
    private readonly tools: Tools,
    private readonly queue: WorkQueue<Execution, Outcome>,
    private readonly slots: OriginSlots,
    private readonly codec: PayloadCodec,
  ) {}

  @Step(topics.toolsRun)
  async handle(records: readonly Record[]): Promise<StepResult<Record>> {
    const requested = records.flatMap((record): Intake[] => {
      const request = requestOf(record);
      return request === null ? [] : [{ record, request }];
    });
    const described = await this.describedAtOnce(requested);
    const intakes = requested.filter((intake) => !described.has(intake));
    const publish = [...described.values()];
    if (intakes.length > 0) publish.push(...(await this.take(intakes)));
    publish.push(...(await this.cancel(records.filter(isCancel))));
    return { publish };
  }

  /** What the tools of requests are, of those for which nobody has to be asked. */
  private async describedAtOnce(
    intakes: readonly Intake[],
  ): Promise<Map<Intake, OutgoingMessage>> {
    const asks = intakes.flatMap((intake) => {
      const { request } = intake;
      if (request.kind !== 'describe') return [];
      const { tenant, tools } = request.data;
      return [{ intake, data: request.data, tenant, names: registeredNames(tools) }];
    });
    const described = new Map<Intake, OutgoingMessage>();
    for (const group of askGroups(asks, toolsReadMax)) {
      const found = await this.tools.current(group);
      group.forEach(({ data, intake }, i) => {
        const message = this.described(intake.record, data, found[i] ?? []);
        if (message !== null) described.set(intake, message);
      });
    }
    return described;
  }

  /** Null: a server has to be asked. */
  private described(
    record: Record,
    data: ToolDescribeRequested,
    tools: readonly Tool[],
  ): OutgoingMessage | null {
    const named = namedTools(data.tools, tools);
    if (needsNetwork(named)) return null;
    const completion = describedCompletion(
      data,
      named.flatMap((each) => describeAtOnce(each) ?? []),
    );
    const json = JSON.stringify(completion.data);
    return this.message(record, { jobId: data.job_id, type: completion.type, json });
  }

  /** @returns ends of requests that came before, or that Postgres refused. */
  private async take(intakes: readonly Intake[]): Promise<OutgoingMessage[]> {
    const executions = await this.executionsOf(intakes);
    const results = await this.insert(executions);
    const existed: Intake[] = [];
    const publish: OutgoingMessage[] = [];
    results.forEach((result, i) => {
      const intake = intakes[i];
      if (intake === undefined) return;
      if (result.status === 'rejected') publish.push(this.refused(intake));
      else if (result.value.kind === 'known') existed.push(intake);
    });
    const again = existed.map(({ record, request }) => ({ record, jobId: request.data.job_id }));
    return [...publish, ...(await this.toldAgain(again))];
  }

  private async executionsOf(intakes: readonly Intake[]): Promise<NewExecution[]> {
    const runs = intakes.flatMap(({ request }) =>
      request.kind === 'run'
        ? [
            {
              tenant: request.data.tenant,
              name: parseToolName(request.data.tool).registered,
              version: request.data.tool_version,
            },
          ]
        : [],
    );
    const found = runs.length === 0 ? [] : await this.tools.versions(runs);
    let run = 0;
    return intakes.map(({ record, request }) => {
      const tool = request.kind === 'run' ? (found[run++] ?? null) : null;
      const origin = tool === null ? request.kind : originOfTool(tool);
      return newExecution(record, request, origin);
    });
  }

  /** @throws when Postgres is away; what was inserted as ours is started nevertheless. */
  private async insert(
    executions: readonly NewExecution[],
  ): Promise<PromiseSettledResult<Inserted>[]> {
    const reservation = this.queue.reserve(executions.length);
    const { granted, owner } = reservation;
    try {
      const plan = this.slots.plan(performance.now());
      let taken = 0;
      const placed = executions.map((execution) => {
        if (taken >= granted || !plan.take(execution)) return execution;
        taken += 1;
        return { ...execution, owner };
      });
      const results = await this.executions.insert(placed);
      reservation.start(placed.flatMap((execution, i) => startedOf(execution, results[i])));
      if (taken < executions.length) this.queue.wake();
      for (const result of results) {
        if (result.status === 'fulfilled' || result.reason instanceof BadRowError) continue;
        throw result.reason;
      }
      return results;
    } finally {
      reservation.release();
    }
  }

  /** @returns the ends of all that have ended by now, before the cancel or by it. */
  private async cancel(records: readonly Record[]): Promise<OutgoingMessage[]> {
    if (records.length === 0) return [];
    const byId = new Map(records.map((record) => [nameOf(record).id, record]));
    const cancels = [...byId.values()].map((record) => ({
      ...nameOf(record),
      completion: toolFailed(record.data, cancelled, null),
    }));
    await this.executions.cancel(cancels);
    return this.toldAgain([...byId.values()].map((record) => ({ record, jobId: null })));
  }

  /** Ends that were written before, as they were told. */
  private async toldAgain(
    asked: readonly { readonly record: Record; readonly jobId: string | null }[],
  ): Promise<OutgoingMessage[]> {
    if (asked.length === 0) return [];
    const ends = await this.executions.ends(asked.map(({ record }) => nameOf(record)));
    return asked.flatMap(({ record, jobId }) => {
      const end = ends.get(nameOf(record).id);
      return end === undefined ? [] : [this.message(record, { jobId, ...end })];
    });
  }

  private refused({ record, request }: Intake): OutgoingMessage {
    const nowMs = Date.now();
    const timing = { attempts: 0, startedAtMs: nowMs, finishedAtMs: nowMs };
    const { data, type } = failed(request, badRow, timing);
    return this.message(record, {
      jobId: request.data.job_id,
      type,
      json: JSON.stringify(data),
    });
  }

  private message(
    { context, data }: Record,
    end: { readonly jobId: string | null; readonly type: string; readonly json: string },
  ): OutgoingMessage {
    return completionMessage({
      tenant: data.tenant,
      jobId: end.jobId ?? jobOfWorkflow(data.workflow_id),
      callId: data.call_id,
      workflowId: data.workflow_id,
      type: end.type,
      json: end.json,
      traceHeaders: injectTrace(context),
      codec: this.codec,
    });
  }
}

const cancelled = { code: 'cancelled', detail: 'the call was cancelled' } as const;
const badRow = { code: 'bad_row', detail: 'the database refused the call' } as const;

function isCancel(record: Record): boolean {
  return record.type === 'millrace.tool.cancel-requested.v1';
}

/** A record's request; null for a cancel. */
function requestOf({ data, type }: Record): ExecutionRequest | null {
  if ('tool' in data) return { kind: 'run', data };
  if ('tools' in data) return { kind: 'describe', data };
  if ('params' in data) return { kind: 'split', data };
  if (type !== 'millrace.tool.cancel-requested.v1') throw new TypeError(`no step for ${type}`);
  return null;
}

function nameOf({ data }: Record): ExecutionName {
  const { call_id: callId, created_at, tenant } = data;
  return { id: executionId(tenant, callId), tenant, callId, day: jobDayOf(created_at) };
}

function newExecution(record: Record, request: ExecutionRequest, origin: string): NewExecution {
  const completeBy = 'complete_by' in request.data ? request.data.complete_by : undefined;
  return {
    ...nameOf(record),
    request,
    origin,
    completeByMs: completeBy === undefined ? null : Date.parse(completeBy),
    traceHeaders: injectTrace(record.context),
    owner: null,
  };
}

/** An execution that was inserted as ours; nothing for any other. */
function startedOf(
  { completeByMs: _, owner, ...execution }: NewExecution,
  result: PromiseSettledResult<Inserted> | undefined,
): Execution[] {
  if (owner === null || result?.status !== 'fulfilled' || result.value.kind === 'known') return [];
  const { endsAtMs } = result.value;
  return [{ ...execution, owner, endsAtMs, attempts: 0, lost: 0, cancelRequested: false }];
}

/** Whose steps a sub-agent's are: its id begins with its job's. */
function jobOfWorkflow(workflowId: string): string {
  return workflowId.split('/')[0] ?? workflowId;
}
