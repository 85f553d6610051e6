import { z } from 'zod';

import type {
  Command,
  Decision,
  EpochMs,
  Reducer,
  Workflow,
  WorkflowEvent,
} from './core/workflow.ts';

const stateSchema = z.object({
  count: z.int(),
  /** The last call that it made: it answers none, so that all that follow find it open. */
  asked: z.object({ id: z.string(), version: z.int() }).optional(),
});
type Counted = z.infer<typeof stateSchema>;

const wishSchema = z.object({
  wish: z.enum(['count', 'throw', 'ignore', 'timer', 'finish', 'large', 'call']),
});

const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };

export interface CountingOptions {
  readonly schemaVersion?: number;
  /** `throw` is a wish like `count`. */
  readonly isMended?: boolean;
  /** It takes over runs of the version before, and counts them on from a hundred. */
  readonly migrates?: boolean;
}

/** The smallest workflow that does everything its shell has to know: it counts its events. */
export function countingReducer(options: CountingOptions = {}): Reducer<Counted> {
  const { isMended = false, migrates = false, schemaVersion = 1 } = options;
  const migrate = (old: unknown) => {
    const { count, ...rest } = stateSchema.parse(old);
    return { ...rest, count: count + 100 };
  };
  return {
    kind: 'agent',
    schemaVersion,
    decide: (workflow, event, now) => decide(workflow, event, { now, isMended }),
    view: () => ({ approvals: [], spent, signals: [], tainted: false }),
    outstanding: (state) => {
      const { asked } = stateSchema.parse(state);
      return asked === undefined ? [] : [asked];
    },
    ...(migrates ? { migrate } : {}),
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
  const before = version === 0 ? { count: 0 } : stateSchema.parse(workflow.state);
  const count = before.count + 1;
  const state = { ...before, count };
  const counted = (commands: readonly Command[]): Decision<Counted> => {
    const [asked] = commands.flatMap((one) =>
      one.kind === 'call_claude' ? [{ id: one.callId, version: version + 1 }] : [],
    );
    const changed = asked === undefined ? state : { ...state, asked };
    return { kind: 'changed', status: 'running', state: changed, commands };
  };
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
