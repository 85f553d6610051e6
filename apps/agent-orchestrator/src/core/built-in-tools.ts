import type { SubAgent } from '@millrace/contracts';

import type { Agent } from './agent-state.ts';

/** Names of tools that are answered here. */
export const finalAnswer = 'final_answer';
export const waitForSignal = 'wait_for_signal';

/** A tool as the Messages API takes it. */
export interface OfferedTool {
  readonly name: string;
  readonly description: string;
  readonly input_schema: Readonly<Record<string, unknown>>;
}

/** Everything that the model may ask for, the same in every turn so that the prompt is cached. */
export function offeredTools(agent: Agent): readonly OfferedTool[] {
  return [
    ...agent.tools.map(({ name, description, input_schema }) => {
      return { name, description, input_schema };
    }),
    ...agent.agents.map(subAgentTool),
    ...(agent.signals.length > 0 ? [signalTool(agent.signals)] : []),
    ...(agent.outputSchema === undefined ? [] : [finalAnswerTool(agent.outputSchema)]),
  ];
}

/** The first name that stands for two tools; the model could not say which it means. */
export function nameTwice(agent: Agent): string | undefined {
  const names = offeredTools(agent).map(({ name }) => name);
  return names.find((name, at) => names.indexOf(name) !== at);
}

function subAgentTool({ name, description }: SubAgent): OfferedTool {
  return {
    name,
    description,
    input_schema: {
      type: 'object',
      properties: { prompt: { type: 'string', minLength: 1, description: 'What it is to do.' } },
      required: ['prompt'],
      additionalProperties: false,
    },
  };
}

function signalTool(signals: readonly string[]): OfferedTool {
  return {
    name: waitForSignal,
    description: 'Waits until the named signal comes from outside, and gives back its data.',
    input_schema: {
      type: 'object',
      properties: { name: { type: 'string', enum: signals } },
      required: ['name'],
      additionalProperties: false,
    },
  };
}

function finalAnswerTool(schema: Readonly<Record<string, unknown>>): OfferedTool {
  return {
    name: finalAnswer,
    description: 'Gives the final answer and ends the task. Call it once, when you are done.',
    input_schema: schema,
  };
}
