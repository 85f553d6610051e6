import type {
  ApprovalView,
  CallId,
  JobId,
  Lane,
  LimitName,
  SubAgent,
  TenantId,
  ToolDefinition,
  WorkflowId,
} from '@millrace/contracts';

import type { Amount, Ledger } from './agent-budget.ts';
import type { Price } from './prices.ts';
import type { EpochMs, ToolOutcome } from './workflow.ts';

/** An agent's state is JSON, and small once the run has ended. */
export type AgentState = AgentRun | EndedRun;

/** Of a run that was cancelled before it began there is no agent. */
export interface EndedRun {
  readonly stage: 'ended';
  readonly agent: Agent | null;
  readonly ledger: Ledger;
  readonly decided: readonly DecidedApproval[];
  readonly tainted: boolean;
}

/**
 * All that a run knows between two events. The conversation itself lies with claude-worker: here
 * is only what has not entered it yet.
 */
export interface AgentRun {
  readonly stage: 'describing' | 'working';
  readonly origin: Origin;
  readonly agent: Agent;
  readonly ledger: Ledger;
  readonly counts: Counts;
  /** The model call under way. */
  readonly call: OpenCall | null;
  /** The model call that is due, and waits for room in the budget. */
  readonly due: DueCall | null;
  /** Prompt and answer of the last turn that was kept: the next prompt begins with them. */
  readonly conversationTokens: number;
  /** What the last answer asks for, in its order. Empty once the results are sent. */
  readonly uses: readonly ToolUse[];
  readonly signals: readonly KeptSignal[];
  /** Of signals that came, so that a copy is known as one. */
  readonly signalIds: readonly string[];
  readonly decided: readonly DecidedApproval[];
  /** What others wrote has entered the conversation. */
  readonly tainted: boolean;
  readonly standIn: boolean;
  /** The limit that the run waits for someone to raise. */
  readonly reached: LimitName | null;
  readonly fork: Fork | null;
}

/** Where the run comes from: what its sub-agents' requests have to say. */
export interface Origin {
  readonly tenant: TenantId;
  /** The job that users know. */
  readonly jobId: JobId;
  readonly createdAt: string;
  readonly startedAt: EpochMs;
  readonly depth: number;
  readonly lane?: Lane;
  readonly stream: boolean;
  readonly completeBy?: string;
}

/** What the user made it: the same in every turn. */
export interface Agent {
  /** The Messages API's own parameters, without messages and tools. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly maxTokens: number;
  /** Names as they were given; `tools` are what they turned out to be. */
  readonly toolNames: readonly string[];
  readonly tools: readonly ToolDefinition[];
  readonly agents: readonly SubAgent[];
  readonly signals: readonly string[];
  readonly outputSchema?: Readonly<Record<string, unknown>>;
  readonly price?: Price;
}

export interface Counts {
  readonly calls: number;
  readonly uses: number;
  readonly children: number;
  /** In a row. */
  readonly pauses: number;
  readonly truncations: number;
  readonly finalAnswerAsks: number;
}

export interface DueCall {
  readonly messages: readonly unknown[];
  /** In place of the agent's own, to ask again for an answer that was cut off. */
  readonly maxTokens?: number;
}

export interface OpenCall {
  readonly callId: string;
  readonly seq: number;
  /** The version that asked for it; absent in states of older releases. */
  readonly askedIn?: number;
  readonly held: Amount;
  readonly maxTokens: number;
  /** What it carries, to be carried again if it is not kept. Null: too large to be held here. */
  readonly messages: readonly unknown[] | null;
  /** At most so many tokens are in its prompt. */
  readonly promptTokens: number;
}

/** One `tool_use` of an answer, and how far it is. */
export interface ToolUse {
  /** The model's own id of it. */
  readonly useId: string;
  readonly name: string;
  /** `<workflow>/t<n>` */
  readonly callId: CallId;
  readonly progress: UseProgress;
}

/** What a person is asked; the arguments stand beside it. */
export type AskedApproval = Omit<ApprovalView, 'arguments'>;

/** What a person said, or failed to say, without the arguments. */
export type DecidedApproval = AskedApproval;

export type Arguments = Readonly<Record<string, unknown>>;

export type UseProgress =
  /** May start when there is room. */
  | { readonly at: 'queued'; readonly arguments: Arguments }
  | { readonly at: 'approving'; readonly arguments: Arguments; readonly approval: AskedApproval }
  | RunningTool
  | {
      readonly at: 'child';
      readonly childId: WorkflowId;
      readonly held: Amount;
      /** As of a call. */
      readonly askedIn?: number;
    }
  | { readonly at: 'signal'; readonly name: string }
  | { readonly at: 'done'; readonly content: string; readonly isError: boolean };

export interface RunningTool {
  readonly at: 'running';
  readonly attempt: number;
  readonly deadline: EpochMs;
  /** Only of calls that may have to be sent again. */
  readonly arguments?: Arguments;
}

export interface KeptSignal {
  readonly name: string;
  readonly signalId: string;
  readonly data: unknown;
}

/** A run that begins in the middle of another one. */
export interface Fork {
  readonly allowSideEffects: boolean;
  readonly recorded: Readonly<Record<string, ToolOutcome>>;
}
