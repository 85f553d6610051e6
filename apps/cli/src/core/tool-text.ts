import type { ToolView } from '@millrace/contracts';

import { fields } from './table.ts';

/** A tool as a person reads it. */
export function toolText(tool: ToolView): string {
  const { target } = tool;
  return fields({
    name: tool.name,
    version: tool.version,
    description: tool.description,
    target: 'url' in target ? `${target.kind} ${target.url}` : target.kind,
    effect: tool.effect,
    approval: tool.approval,
    timeout: `${tool.timeout_seconds} s, ${tool.retries} retries`,
    arguments: tool.input_schema === undefined ? undefined : JSON.stringify(tool.input_schema),
    changed: tool.changed_at,
  });
}
