import { assertNever, type ToolDescribeRequested } from '@millrace/contracts';

import {
  describeAtOnce,
  describedCompletion,
  namedTools,
  registeredNames,
} from './core/describe.ts';
import type { Execution, ExecutionRequest } from './core/execution.ts';
import type { ToolResult } from './core/outcome.ts';
import type { Tool } from './core/tool.ts';
import { parseToolName } from './core/tool-name.ts';
import type { DocumentSplits } from './document-splits.ts';
import type { RunContext, RunResult } from './execution-policy.ts';
import type { McpTools } from './mcp-tools.ts';
import type { Tools } from './ports.ts';
import type { ToolCaller } from './tool-calls.ts';

export interface ExecutionRunsOptions {
  readonly tools: Tools;
  readonly http: ToolCaller;
  readonly mcp: McpTools;
  readonly documents: DocumentSplits;
}

/** For all servers that a request names: whoever waits for it takes 20 s as the most. */
const describeMs = 15_000;

type RunRequest = Extract<ExecutionRequest, { kind: 'run' }>;

/** Makes one attempt of an execution, by its kind. */
export class ExecutionRuns {
  constructor(private readonly options: ExecutionRunsOptions) {}

  async run(execution: Execution, context: RunContext): Promise<RunResult> {
    const { request } = execution;
    switch (request.kind) {
      case 'run':
        return this.runTool(execution, request, context);
      case 'describe':
        return this.describe(request.data, context);
      case 'split':
        return this.options.documents.split(request.data, context);
      default:
        return assertNever(request);
    }
  }

  private async runTool(
    execution: Execution,
    { data }: RunRequest,
    context: RunContext,
  ): Promise<RunResult> {
    const { registered, inner } = parseToolName(data.tool);
    const name = { tenant: data.tenant, name: registered, version: data.tool_version };
    const [tool] = await this.options.tools.versions([name]);
    const caller = tool == null ? null : this.callerOf(tool, inner);
    if (tool == null || caller === null) {
      const detail = `there is no version ${data.tool_version} of ${data.tool} to be run here`;
      return refused({ code: 'unknown_tool', detail });
    }
    const timeoutMs = timeoutMsOf(tool, execution.endsAtMs);
    const call = { execution, request: data, tool, inner, timeoutMs, ...context };
    const result = await caller.call(call);
    return { result, retries: tool.content.retries };
  }

  private callerOf(tool: Tool, inner: string | null): ToolCaller | null {
    switch (tool.content.target.kind) {
      case 'http':
        return inner === null ? this.options.http : null;
      case 'mcp':
        return inner === null ? null : this.options.mcp;
      case 'worker':
        return null;
      default:
        return assertNever(tool.content.target);
    }
  }

  private async describe(
    request: ToolDescribeRequested,
    context: RunContext,
  ): Promise<RunResult> {
    const { signal } = context;
    const use = { endsAtMs: performance.now() + describeMs, ...context };
    const ask = { tenant: request.tenant, names: registeredNames(request.tools) };
    const [found = []] = await this.options.tools.current([ask]);
    const parts = await Promise.all(
      namedTools(request.tools, found).map(
        async (named) => describeAtOnce(named) ?? this.options.mcp.describe(named, use),
      ),
    );
    if (signal.aborted) return { result: { kind: 'postponed', reason: 'stopping' }, retries: 0 };
    const completion = describedCompletion(request, parts);
    return { result: { kind: 'output', output: null }, completion };
  }
}

interface Refusal {
  readonly code: 'unknown_tool';
  readonly detail: string;
}

function refused(failure: Refusal): RunResult {
  const result = { kind: 'failure', failure, transient: false, class: failure.code } as const;
  return { result: result satisfies ToolResult, retries: 0 };
}

/** An attempt takes no longer than the run that waits for it. */
function timeoutMsOf({ content }: Tool, endsAtMs: number | null): number {
  const timeoutMs = content.timeout_seconds * 1_000;
  return endsAtMs === null ? timeoutMs : Math.min(timeoutMs, endsAtMs - performance.now());
}
