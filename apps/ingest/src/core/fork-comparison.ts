import {
  callIdSchema,
  isTerminal,
  type ForkComparison,
  type ForkSide,
  type JobView,
  type WorkflowAnswer,
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
  const source = sideOf(runs.source, { after: fromStep });
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
