import { z } from 'zod';

import type {
  Command,
  Decision,
  EpochMs,
  Reducer,
  Workflow,
  WorkflowEvent,
} from './core/workflow.ts';

const stateSchema = z.object({ count: z.int() });
type Counted = z.infer<typeof stateSchema>;

const wishSchema = z.object({
  wish: z.enum(['count', 'throw', 'ignore', 'timer', 'finish', 'large', 'call']),
});

const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };

export interface CountingOptions {
  readonly schemaVersion?: number;
  /** `throw` is a wish like `count`. */
  readonly isMended?: boolean;
}

/** The smallest workflow that does everything its shell has to know: it counts its events. */
export function countingReducer(options: CountingOptions = {}): Reducer<Counted> {
  const { isMended = false, schemaVersion = 1 } = options;
  return {
    kind: 'agent',
    schemaVersion,
    decide: (workflow, event, now) => decide(workflow, event, { now, isMended }),
    view: () => ({ approvals: [], spent, signals: [], tainted: false }),
  };
}

interface Given {
  readonly now: EpochMs;
  readonly isMended: boolean;
}

function decide(
  workflow: Workflow<Counted>,
  event: WorkflowEvent,
  given: Given,
): Decision<Counted> {
  const { id, version } = workflow;
  if (workflow.status === 'succeeded') return { kind: 'ignored', why: 'it has ended' };
  const count = version === 0 ? 1 : stateSchema.parse(workflow.state).count + 1;
  const state = { count };
  const counted = (commands: readonly Command[]): Decision<Counted> => ({
    kind: 'changed',
    status: 'running',
    state,
    commands,
  });
  const call = (params: Readonly<Record<string, unknown>>): Command => ({
    kind: 'call_claude',
    callId: `${id}/m${count}`,
    seq: count,
    turn: count,
    params,
  });
  if (event.type !== 'signalled') return counted([call({ messages: [] })]);
  const { wish } = wishSchema.parse(event.data.data);
  switch (wish) {
    case 'count':
      return counted([]);
    case 'call':
      return counted([call({ messages: [] })]);
    case 'large':
      return counted([call({ messages: ['x'.repeat(400_000)] })]);
    case 'timer':
      return counted([{ kind: 'set_timer', name: 'soon', at: given.now + 20 }]);
    case 'ignore':
      return { kind: 'ignored', why: 'it was asked to' };
    case 'throw':
      if (given.isMended) return counted([]);
      throw new Error('a bug');
    case 'finish': {
      const end = { status: 'succeeded', result: 'done', spent, tainted: false } as const;
      const commands: Command[] = [{ kind: 'finish', end: { ...end, standIn: false } }];
      return { kind: 'changed', status: 'succeeded', state, commands };
    }
    default:
      return counted([]);
  }
}
