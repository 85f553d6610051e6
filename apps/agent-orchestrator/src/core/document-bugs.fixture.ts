import { prices } from './agent-run.fixture.ts';
import { documentReducer } from './document-reducer.ts';
import type { DocumentRun, DocumentState } from './document-state.ts';
import type { Command, Decision, Reducer, Workflow, WorkflowEvent } from './workflow.ts';

/*
 * Reducers of documents with one bug each, and what each of them breaks: being caught for another
 * reason would prove nothing.
 */

interface DocumentBug {
  /** As a reviewer would say it. */
  readonly what: string;
  readonly breaks: RegExp;
  readonly reducer: () => Reducer<DocumentState>;
}

type Changed = Extract<Decision<DocumentState>, { kind: 'changed' }>;

const good = documentReducer(prices);

function decidesBadly(
  spoil: (decision: Changed, event: WorkflowEvent) => Changed,
): Reducer<DocumentState> {
  return {
    ...good,
    decide: (workflow, event, now) => {
      const decision = good.decide(workflow, event, now);
      return decision.kind === 'changed' ? spoil(decision, event) : decision;
    },
  };
}

function spoilRun(spoil: (run: DocumentRun) => DocumentRun): Reducer<DocumentState> {
  return decidesBadly((decision) => {
    const { state } = decision;
    return state.stage === 'ended' ? decision : { ...decision, state: spoil(state) };
  });
}

function spoilCommands(
  spoil: (command: Command) => readonly Command[],
): Reducer<DocumentState> {
  return decidesBadly((decision) => ({
    ...decision,
    commands: decision.commands.flatMap(spoil),
  }));
}

const without = (isIt: (command: Command) => boolean) =>
  spoilCommands((command) => (isIt(command) ? [] : [command]));

/** What is decided on is spoilt, not what comes of it. */
function readsBadly(
  spoil: (run: DocumentRun, event: WorkflowEvent) => DocumentRun,
): Reducer<DocumentState> {
  return {
    ...good,
    decide: (workflow, event, now) => {
      const { state, version } = workflow;
      if (version === 0 || state.stage === 'ended') return good.decide(workflow, event, now);
      return good.decide({ ...workflow, state: spoil(state, event) }, event, now);
    },
  };
}

function forgetsTheEnd(): Reducer<DocumentState> {
  let alive: Workflow<DocumentState> | undefined;
  return {
    ...good,
    decide: (workflow, event, now) => {
      if (workflow.version === 0) alive = undefined;
      const hasEnded = workflow.version > 0 && workflow.state.stage === 'ended';
      if (!hasEnded) alive = workflow;
      return good.decide(hasEnded && alive ? alive : workflow, event, now);
    },
  };
}

export const documentBugs: readonly DocumentBug[] = [
  {
    what: 'a part that failed is left out',
    breaks: /^a run has something under way/,
    reducer: () => spoilRun((run) => ({ ...run, due: run.due.filter(({ level }) => level > 0) })),
  },
  {
    what: 'a part that failed is asked about twice at once',
    breaks: /^D1: an item has one call/,
    reducer: () => spoilRun((run) => ({ ...run, due: run.due.flatMap((item) => [item, item]) })),
  },
  {
    what: 'an answer that comes again is taken',
    breaks: /^D[14]: /,
    reducer: () => {
      let known: DocumentRun['open'] = [];
      return readsBadly((run, event) => {
        if (run.calls === 0) known = [];
        known = [...known, ...run.open];
        if (event.type !== 'call_completed') return run;
        const again = known.find(({ callId }) => callId === event.data.call_id);
        const isOpen = run.open.some(({ callId }) => callId === again?.callId);
        return again === undefined || isOpen ? run : { ...run, open: [...run.open, again] };
      });
    },
  },
  {
    what: 'answers are joined in the order of their arrival',
    breaks: /^D2: /,
    reducer: () =>
      spoilCommands((command) => {
        if (command.kind !== 'call_claude' || command.params === undefined) return [command];
        const messages = JSON.stringify(command.params['messages']);
        const numbers = [...messages.matchAll(/\[(\d+)\]/g)].map(([mark]) => mark).toReversed();
        const spoilt = [{ role: 'user', content: numbers.join('') }];
        return [{ ...command, params: { ...command.params, messages: spoilt } }];
      }),
  },
  {
    what: 'a join does not wait for the last of its parts',
    breaks: /^D2: /,
    reducer: () =>
      readsBadly((run, event) => {
        const [index] = [run.parts.length - 1];
        const isOpen = run.open.some((item) => item.level === 0 && item.index === index);
        if (event.type !== 'call_completed' || !isOpen || index < 2) return run;
        return { ...run, answers: { [`0.${index}`]: '', ...run.answers } };
      }),
  },
  {
    what: 'answers are never let go',
    breaks: /^D2: answers are let go/,
    reducer: () => {
      let kept: Readonly<Record<string, string>> = {};
      return spoilRun((run) => {
        kept = run.calls === 0 ? {} : { ...kept, ...run.answers };
        return { ...run, answers: kept };
      });
    },
  },
  {
    what: 'all parts are asked about at once, before the prefix is in the cache',
    breaks: /^the first part is asked about alone/,
    reducer: () => readsBadly((run) => ({ ...run, warm: true })),
  },
  {
    what: 'parts that are lost are never asked for again',
    breaks: /^lost parts are asked for/,
    reducer: () => without((command) => command.kind === 'set_timer' && command.name === 'split'),
  },
  {
    what: 'a run has no deadline',
    breaks: /^a run has a deadline/,
    reducer: () =>
      without((command) => command.kind === 'set_timer' && command.name === 'deadline'),
  },
  {
    what: 'a timer is left behind',
    breaks: /^no timer is left behind/,
    reducer: () => without(({ kind }) => kind === 'clear_timer'),
  },
  {
    what: 'a cancel forgets the calls under way',
    breaks: /^what is under way at the end/,
    reducer: () => without(({ kind }) => kind === 'cancel_call'),
  },
  {
    what: 'a call reserves nothing',
    breaks: /^D3: reserved/,
    reducer: () =>
      spoilRun((run) => {
        const { released, settled } = run.ledger;
        const of = (key: 'micros' | 'tokens' | 'iterations' | 'toolCalls') =>
          settled[key] + released[key];
        const reserved = {
          micros: of('micros'),
          tokens: of('tokens'),
          iterations: of('iterations'),
          toolCalls: of('toolCalls'),
        };
        return { ...run, ledger: { ...run.ledger, reserved } };
      }),
  },
  {
    what: 'the limit of iterations is off by one',
    breaks: /^the budget holds \(iterations\)/,
    reducer: () =>
      readsBadly((run) => {
        const { limits } = run.ledger;
        const more = { ...limits, iterations: limits.iterations + 1 };
        return { ...run, ledger: { ...run.ledger, limits: more } };
      }),
  },
  {
    what: 'a number is used twice',
    breaks: /^D1: /,
    reducer: () => spoilRun((run) => ({ ...run, calls: Math.min(run.calls, 1) })),
  },
  {
    what: 'an end tells twice',
    breaks: /^nothing follows the end/,
    reducer: () =>
      spoilCommands((command) => (command.kind === 'finish' ? [command, command] : [command])),
  },
  {
    what: 'events after the end are taken',
    breaks: /^D4: nothing happens after the end/,
    reducer: forgetsTheEnd,
  },
];
