import type { ToolRunRequested } from '@millrace/contracts';

import type { ToolResult } from './core/outcome.ts';
import type { Execution } from './core/execution.ts';
import type { Tool } from './core/tool.ts';
import type { RunContext } from './execution-policy.ts';

/** One attempt of one call of a registered tool. */
export interface ToolCall extends RunContext {
  readonly execution: Execution;
  readonly request: ToolRunRequested;
  readonly tool: Tool;
  /** Of the server's tools the one that is called; null for an HTTP tool. */
  readonly inner: string | null;
  readonly timeoutMs: number;
}

/** A way to call tools. Never throws for what a tool does: that is a result. */
export abstract class ToolCaller {
  abstract call(call: ToolCall): Promise<ToolResult>;
}
