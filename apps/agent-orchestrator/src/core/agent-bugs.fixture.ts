import { agentReducer } from './agent-reducer.ts';
import { prices } from './agent-run.fixture.ts';
import type { AgentRun, AgentState } from './agent-state.ts';
import { isRecord } from './canonical-json.ts';
import type { Command, Decision, Reducer, Workflow, WorkflowEvent } from './workflow.ts';

/*
 * Reducers with one bug each, of the kind that a change could bring in. The properties have to
 * catch every one of them: a property that catches nothing proves nothing.
 */

type Changed = Extract<Decision<AgentState>, { kind: 'changed' }>;

interface Moment {
  readonly workflow: Workflow<AgentState>;
  readonly event: WorkflowEvent;
}

const good = agentReducer(prices);

/** Spoils what is decided. */
function decidesBadly(spoil: (decision: Changed, moment: Moment) => Changed): Reducer<AgentState> {
  return {
    ...good,
    decide: (workflow, event, now) => {
      const decision = good.decide(workflow, event, now);
      return decision.kind === 'changed' ? spoil(decision, { workflow, event }) : decision;
    },
  };
}

/** Spoils what is decided on. */
function readsBadly(
  spoil: (moment: Moment) => { workflow?: Workflow<AgentState>; event?: WorkflowEvent },
): Reducer<AgentState> {
  return {
    ...good,
    decide: (workflow, event, now) => {
      const seen = { workflow, event, ...spoil({ workflow, event }) };
      return good.decide(seen.workflow, seen.event, now);
    },
  };
}

function spoilRun(decision: Changed, spoil: (run: AgentRun) => AgentRun): Changed {
  const { state } = decision;
  return state.stage === 'ended' ? decision : { ...decision, state: spoil(state) };
}

function seenRun(workflow: Workflow<AgentState>, spoil: (run: AgentRun) => AgentRun) {
  if (workflow.version === 0 || workflow.state.stage === 'ended') return {};
  return { workflow: { ...workflow, state: spoil(workflow.state) } };
}

function without(kind: Command['kind'], ofName = ''): Reducer<AgentState> {
  const isIt = (command: Command) =>
    command.kind === kind && (!('name' in command) || command.name.startsWith(ofName));
  return decidesBadly((decision) => {
    return { ...decision, commands: decision.commands.filter((command) => !isIt(command)) };
  });
}

function spoilCommands(spoil: (command: Command) => readonly Command[]): Reducer<AgentState> {
  return decidesBadly((decision) => {
    return { ...decision, commands: decision.commands.flatMap(spoil) };
  });
}

/** Spoils the content of the message with the results. */
function spoilResults(spoil: (content: readonly unknown[]) => unknown[]): Reducer<AgentState> {
  return spoilCommands((command) => {
    if (command.kind !== 'call_claude') return [command];
    const messages = command.params?.['messages'];
    const first: unknown = Array.isArray(messages) ? messages[0] : null;
    if (!isRecord(first) || !Array.isArray(first['content'])) return [command];
    const spoiled = [{ ...first, content: spoil(first['content']) }];
    return [{ ...command, params: { ...command.params, messages: spoiled } }];
  });
}

/** The reducer as it would be if the run did not know that it has ended. */
function forgetsTheEnd(): Reducer<AgentState> {
  let alive: Workflow<AgentState> | undefined;
  return {
    ...good,
    decide: (workflow, event, now) => {
      if (workflow.version === 0) alive = undefined;
      const ended = workflow.version > 0 && workflow.state.stage === 'ended';
      if (!ended) alive = workflow;
      return good.decide(ended && alive ? alive : workflow, event, now);
    },
  };
}

/** By what a reviewer would say. */
export const bugs: Readonly<Record<string, () => Reducer<AgentState>>> = {
  'the model is asked while a tool is still under way': () =>
    readsBadly(({ workflow, event }) =>
      event.type === 'tool_completed'
        ? seenRun(workflow, (run) => ({
            ...run,
            uses: run.uses.map((use) =>
              use.progress.at === 'running' && use.callId !== event.data.call_id
                ? { ...use, progress: { at: 'done', content: 'x', isError: true } }
                : use,
            ),
          }))
        : {},
    ),
  'a tool is run twice': () =>
    spoilCommands((command) => (command.kind === 'run_tool' ? [command, command] : [command])),
  'results come in the order of their arrival': () =>
    spoilResults((content) => content.toReversed()),
  'the result of one tool is left out': () => spoilResults((content) => content.slice(1)),
  'what a tool says is not framed': () =>
    spoilResults((content) =>
      JSON.parse(JSON.stringify(content).replaceAll(/<untrusted_data[^>]*>/g, '')),
    ),
  'an end tells twice': () =>
    spoilCommands((command) => (command.kind === 'finish' ? [command, command] : [command])),
  'events after the end are taken': forgetsTheEnd,
  'a tool has no timer': () => without('set_timer', 'tool:'),
  'an approval never expires': () => without('set_timer', 'approval:'),
  'a run has no deadline': () => without('set_timer', 'deadline'),
  'a timer is left behind': () => without('clear_timer', 'tool:'),
  'a cancel forgets the tools': () => without('cancel_tool'),
  'a cancel forgets the sub-agents': () => without('cancel_child'),
  'the hash of an approval is not compared': () =>
    readsBadly(({ event }) => {
      if (event.type !== 'approval_decided') return {};
      const { hash: _hash, ...data } = event.data;
      return { event: { ...event, data } };
    }),
  'an approval counts twice': () =>
    decidesBadly((decision, { workflow, event }) => {
      if (event.type !== 'approval_decided' || event.data.decision !== 'approve') return decision;
      const { state } = workflow;
      return spoilRun(decision, (run) => ({
        ...run,
        uses: state.stage === 'ended' ? [] : state.uses,
      }));
    }),
  'taint is forgotten': () =>
    decidesBadly((decision) => spoilRun(decision, (run) => ({ ...run, tainted: false }))),
  'a signal counts twice': () =>
    decidesBadly((decision) => spoilRun(decision, (run) => ({ ...run, signalIds: [] }))),
  'a call reserves nothing': () =>
    decidesBadly((decision) =>
      spoilRun(decision, (run) => {
        const { settled, released } = run.ledger;
        const reserved = {
          micros: settled.micros + released.micros,
          tokens: settled.tokens + released.tokens,
          iterations: settled.iterations + released.iterations,
          toolCalls: settled.toolCalls + released.toolCalls,
        };
        return { ...run, ledger: { ...run.ledger, reserved } };
      }),
    ),
  'the limit of iterations is off by one': () =>
    readsBadly(({ workflow }) =>
      seenRun(workflow, (run) => {
        const { limits } = run.ledger;
        const more = { ...limits, iterations: limits.iterations + 1 };
        return { ...run, ledger: { ...run.ledger, limits: more } };
      }),
    ),
  'what sub-agents spend is not counted': () =>
    readsBadly(({ event }) => {
      if (event.type !== 'child_finished') return {};
      const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };
      return { event: { ...event, data: { ...event.data, spent } } };
    }),
  'a fork pays again': () =>
    decidesBadly((decision) => spoilRun(decision, (run) => ({ ...run, fork: null }))),
  'a call that is refused is not shown': () =>
    decidesBadly((decision) => ({ ...decision, noted: [] })),
  'a number is used twice': () =>
    decidesBadly((decision, { event }) =>
      event.type === 'call_completed'
        ? spoilRun(decision, (run) => ({ ...run, counts: { ...run.counts, uses: 0 } }))
        : decision,
    ),
  'what was not kept is not sent again': () =>
    spoilCommands((command) => {
      const again = command.kind === 'call_claude' && command.params?.['max_tokens'] !== 1_000;
      if (!again) return [command];
      return [{ ...command, params: { ...command.params, messages: [] } }];
    }),
  'the call of a retry is not the call of the first attempt': () =>
    spoilCommands((command) =>
      command.kind === 'run_tool' && command.attempt > 1
        ? [{ ...command, callId: `${command.callId}r` }]
        : [command],
    ),
};

/** What each of them breaks: being caught for another reason would prove nothing. */
export const broken: Readonly<Record<string, RegExp>> = {
  'the model is asked while a tool is still under way': /^I1: no model call while/,
  'a tool is run twice': /^I2: |^attempts are counted/,
  'results come in the order of their arrival': /^I1: every tool_use has its result/,
  'the result of one tool is left out': /^I1: every tool_use has its result/,
  'what a tool says is not framed': /is framed$/,
  'an end tells twice': /^nothing follows the end/,
  'events after the end are taken': /^I4: nothing happens after the end/,
  'a tool has no timer': /^I5: each tool call has a timer/,
  'an approval never expires': /^I5: each approval has a timer/,
  'a run has no deadline': /^I5: a run has a deadline/,
  'a timer is left behind': /^no timer is left behind/,
  'a cancel forgets the tools': /^what is under way at the end is called back/,
  'a cancel forgets the sub-agents': /^what is under way at the end is called back/,
  'the hash of an approval is not compared': /^I4: not waited for, and taken: approval_decided/,
  'an approval counts twice': /^I5: each approval|^I2: |^I4: /,
  'taint is forgotten': /^a person agrees before/,
  'a signal counts twice': /signalled$|^a signal counts once|^I4: /,
  'a call reserves nothing': /^I3: reserved = settled/,
  'the limit of iterations is off by one': /^the budget holds \(iterations\)/,
  'what sub-agents spend is not counted': /^I3: /,
  'a fork pays again': /^a fork changes nothing outside/,
  'a call that is refused is not shown': /^every call is a step/,
  'a number is used twice': /^I2: |^attempts are counted/,
  'what was not kept is not sent again': /^only a paused turn|^I1: /,
  'the call of a retry is not the call of the first attempt': /^attempts are counted|^I5: /,
};
