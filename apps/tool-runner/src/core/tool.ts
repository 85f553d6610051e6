import type { ToolDefinition, ToolSubmission, ToolView } from '@millrace/contracts';
import { withoutValues } from '@millrace/egress/core';

/** One version of a registered tool: it never changes. */
export interface Tool {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
  readonly content: ToolSubmission;
}

/** A registered tool as it is now. */
export interface RegisteredTool extends Tool {
  readonly createdAt: Date;
  readonly changedAt: Date;
}

/** Scheme, host and port of where a tool lies: with the tenant, what hanging servers share. */
export function originOfTool({ content: { target } }: Tool): string {
  if (target.kind === 'worker') return 'worker';
  return URL.parse(target.url)?.origin ?? 'unreadable';
}

/** A tool as the API shows it: all but its secrets. */
export function viewOf(tool: RegisteredTool): ToolView {
  const { content, name, version, createdAt, changedAt } = tool;
  return {
    name,
    version,
    ...content,
    target: withoutSecrets(content.target),
    created_at: createdAt.toISOString(),
    changed_at: changedAt.toISOString(),
  };
}

/** What a run has to know of an HTTP tool or one of the tenant's workers. */
export function definitionOf(tool: Tool): ToolDefinition {
  const { content, name, version } = tool;
  return {
    name,
    version,
    description: content.description,
    input_schema: content.input_schema ?? { type: 'object' },
    effect: content.effect,
    approval: content.approval,
    via: content.target.kind === 'worker' ? 'worker' : 'runner',
    timeout_seconds: content.timeout_seconds,
    retries: content.retries,
    result_bytes_max: content.result_bytes_max,
    ...(content.output_schema === undefined ? {} : { output_schema: content.output_schema }),
  };
}

function withoutSecrets(target: ToolSubmission['target']): ToolSubmission['target'] {
  if (target.kind === 'worker' || target.headers === undefined) return target;
  return { ...target, headers: withoutValues(target.headers) };
}
