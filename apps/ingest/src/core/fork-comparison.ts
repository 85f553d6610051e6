import {
  callIdSchema,
  isTerminal,
  type ForkComparison,
  type ForkSide,
  type JobView,
  type WorkflowAnswer,
  type WorkflowStep,
} from '@millrace/contracts';

/** A job, and what its run did; null before it begins. */
export interface ComparedRun {
  readonly job: JobView;
  readonly workflow: WorkflowAnswer | null;
}

/** Compares a fork with its source, from the step on at which they part. */
export function compareFork(
  runs: { readonly source: ComparedRun; readonly fork: ComparedRun },
  fromStep: number,
): ForkComparison {
  const source = sideOf(runs.source, { after: partedAfter(runs.source, fromStep) });
  const fork = sideOf(runs.fork, { after: 0 });
  const haveEnded = isTerminal(source.status) && isTerminal(fork.status);
  return {
    from_step: fromStep,
    source,
    fork,
    difference: {
      usd: wholeMicros(fork.usd - source.usd),
      turns: fork.turns - source.turns,
      tool_calls: fork.tool_calls.length - source.tool_calls.length,
    },
    ...(haveEnded ? { same_answer: source.result === fork.result } : {}),
    truncated: [runs.source, runs.fork].some(({ workflow }) => workflow?.truncated === true),
  };
}

/**
 * A fork asks anew for a turn whose tools had not all answered by then: its source's own counts as
 * what came after, too.
 */
function partedAfter({ job, workflow }: ComparedRun, fromStep: number): number {
  const own = workflow?.steps.filter(({ workflow_id }) => workflow_id === job.id) ?? [];
  const isOver = ({ ended_at, step }: WorkflowStep) => ended_at !== undefined && step <= fromStep;
  const last = own.findLastIndex((step) => step.kind === 'model_call' && isOver(step));
  const turn = own[last];
  if (turn === undefined) return fromStep;
  const after = own.slice(last + 1);
  const next = after.findIndex(({ kind }) => kind === 'model_call');
  const asked = after.slice(0, next === -1 ? after.length : next);
  const isOpen = asked.some((step) => usesOfTools.has(step.kind) && !isOver(step));
  return isOpen ? turn.step - 1 : fromStep;
}

const usesOfTools: ReadonlySet<string> = new Set(['tool_call', 'child', 'approval']);

/** Versions of sub-agents count for themselves: of their steps the time says which are after. */
function sideOf({ job, workflow }: ComparedRun, { after }: { readonly after: number }): ForkSide {
  const steps = workflow?.steps ?? [];
  const parted = steps.find(({ step, workflow_id }) => workflow_id === job.id && step > after);
  const partedAt = parted === undefined ? Infinity : Date.parse(parted.at);
  const own = steps.filter((each) =>
    each.workflow_id === job.id ? each.step > after : Date.parse(each.at) >= partedAt,
  );
  // A sub-agent's step says what its own calls cost together: they are here themselves.
  const calls = own.filter(({ kind }) => kind === 'model_call');
  return {
    job_id: job.id,
    status: job.status,
    model: job.model,
    result: job.result,
    usd: wholeMicros(calls.reduce((sum, { cost_usd = 0 }) => sum + cost_usd, 0)),
    turns: calls.length,
    tool_calls: own
      .filter(({ kind }) => kind === 'tool_call')
      .map(({ id, input, is_error, name = '' }) => ({
        id: callIdSchema.parse(id),
        tool: name,
        input,
        is_error,
      })),
  };
}

/** Costs are whole millionths of a dollar; their sums in floating point are not quite. */
function wholeMicros(usd: number): number {
  return Math.round(usd * 1_000_000) / 1_000_000;
}
