import { toolDefinitionSchema } from '@millrace/contracts';
import type { ToolDefinition } from '@millrace/contracts';
import { z } from 'zod';

import { recordedBytesMax } from './agent-limits.ts';
import type { AgentRun, Arguments, Fork } from './agent-state.ts';
import { isRecord, jsonBytes, sha256 } from './canonical-json.ts';
import { errorResult, resultOf } from './tool-results.ts';
import type { UseResult } from './tool-results.ts';
import type { ForkedRun, ToolOutcome } from './workflow.ts';

/** What a recorded result is found by. */
export function recordedKey(tool: string, given: Readonly<Record<string, unknown>>): string {
  return sha256([tool, given]);
}

/** What a fork knows of its source. What does not fit is refused when it is asked for. */
export function forkOf(forked: ForkedRun, allowSideEffects: boolean): Fork {
  const recorded: Record<string, ToolOutcome> = {};
  let bytes = 0;
  for (const [key, outcome] of Object.entries(forked.recorded)) {
    bytes += key.length + jsonBytes(outcome);
    if (bytes > recordedBytesMax) break;
    recorded[key] = outcome;
  }
  return { allowSideEffects, recorded };
}

const sourceSchema = z.object({
  tainted: z.boolean(),
  agent: z
    .object({ toolNames: z.array(z.string()), tools: z.array(toolDefinitionSchema) })
    .nullable(),
});

/** Taint and tools of the source; a state that cannot be read counts as tainted, without tools. */
export function sourceOf(forked: ForkedRun): z.infer<typeof sourceSchema> {
  const parsed = sourceSchema.safeParse(forked.state);
  return parsed.success ? parsed.data : { tainted: true, agent: null };
}

/**
 * A conversation as another run can go on with it: thinking is bound to the model and the
 * conversation that it was thought in, and is refused elsewhere.
 */
export function withoutThinking(messages: readonly unknown[]): readonly unknown[] {
  return messages.flatMap((message) => {
    if (!isRecord(message) || !Array.isArray(message['content'])) return [message];
    const blocks: readonly unknown[] = message['content'];
    const content = blocks.filter((block) => !isThinking(block));
    // The API refuses a message without content.
    return content.length === 0 && blocks.length > 0 ? [] : [{ ...message, content }];
  });
}

/**
 * What was said until a step, and beside what the model was to be told there a text of the fork's
 * own: in the same message, behind the results of tools, which have to come first. A turn that
 * Claude had paused is given anew with it.
 */
export function withText(messages: readonly unknown[], text: string): readonly unknown[] {
  const last = messages.findLastIndex((message) => isRecord(message) && message['role'] === 'user');
  const message = messages[last];
  const said = isRecord(message) ? message['content'] : [];
  const content: readonly unknown[] = Array.isArray(said) ? said : [{ type: 'text', text: said }];
  const whole = { role: 'user', content: [...content, { type: 'text', text }] };
  return [...messages.slice(0, Math.max(0, last)), whole];
}

function isThinking(block: unknown): boolean {
  return isRecord(block) && ['thinking', 'redacted_thinking'].includes(String(block['type']));
}

/**
 * What a fork answers in place of a call that may change something outside: the result that its
 * source had for it, or a refusal. A sub-agent may call anything, so it counts as such a call
 * unless it has no tools. Null: the call is made.
 */
export function replayedResult(
  { agent, fork }: AgentRun,
  call: {
    readonly name: string;
    readonly tool: ToolDefinition | undefined;
    readonly arguments: Arguments;
  },
): UseResult | null {
  if (!fork || fork.allowSideEffects) return null;
  const child = agent.agents.find(({ name }) => name === call.name);
  const changes = call.tool ? call.tool.effect === 'write' : (child?.tools ?? []).length > 0;
  if (!changes) return null;
  const recorded = fork.recorded[recordedKey(call.name, call.arguments)];
  if (call.tool && recorded) return resultOf(call.tool, recorded);
  return errorResult('side_effect_refused', 'this run is a fork, and may change nothing outside');
}
