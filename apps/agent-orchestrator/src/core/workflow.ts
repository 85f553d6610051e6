import type {
  ApprovalView,
  BudgetLimits,
  ClaudeCompleted,
  DocumentSplit,
  ErrorCode,
  JobError,
  JobStep,
  JobStatusChanged,
  LimitName,
  Spending,
  TerminalStatus,
  ToolCompleted,
  ToolDescribed,
  Usage,
  WorkflowApprovalDecided,
  WorkflowBudgetRaised,
  WorkflowChildFinished,
  WorkflowId,
  WorkflowRequested,
  WorkflowSignalled,
} from '@millrace/contracts';

/** Milliseconds since 1970, by the database's clock. */
export type EpochMs = number;

export type WorkflowKind = 'agent' | 'document';

/** What a workflow waits for, as its job shows it; `parked`: no release here can go on with it. */
export type WorkflowStatus = JobStatusChanged['status'] | TerminalStatus | 'parked';

/**
 * A workflow as its row holds it. `version` counts its events: 0 before the first. What `state`
 * is, the reducer of `kind` and `schemaVersion` alone knows; it is JSON.
 */
export interface Workflow<State = unknown> {
  readonly tenant: string;
  readonly id: WorkflowId;
  readonly kind: WorkflowKind;
  readonly schemaVersion: number;
  readonly version: number;
  readonly status: WorkflowStatus;
  readonly state: State;
}

/** What happens to a workflow. `eventId` is unique in its journal: a copy changes nothing. */
export type WorkflowEvent = { readonly eventId: string } & (
  | {
      readonly type: 'requested';
      readonly data: WorkflowRequested;
      /** The steps that a fork takes over, oldest first, and the state that they led to. */
      readonly forked?: ForkedRun;
      /** Why a fork can take nothing over. */
      readonly unforkable?: JobError;
    }
  | { readonly type: 'cancel_requested' }
  | {
      readonly type: 'call_completed';
      readonly data: ClaudeCompleted;
      /** In millionths of a US dollar, by the price table; 0 when nobody knows the price. */
      readonly costMicros: number;
    }
  | { readonly type: 'tool_completed'; readonly data: ToolCompleted }
  | { readonly type: 'tools_described'; readonly data: ToolDescribed }
  | { readonly type: 'document_split'; readonly data: DocumentSplit }
  | { readonly type: 'approval_decided'; readonly data: WorkflowApprovalDecided }
  | { readonly type: 'signalled'; readonly data: WorkflowSignalled }
  | { readonly type: 'budget_raised'; readonly data: WorkflowBudgetRaised }
  | { readonly type: 'child_finished'; readonly data: WorkflowChildFinished }
  | { readonly type: 'timer_fired'; readonly name: string }
);

/** What a fork takes over: the source's state after that step, and its conversation until then. */
export interface ForkedRun {
  readonly state: unknown;
  readonly schemaVersion: number;
  /** Complete messages, to be sent with the first call: the conversation is a new one. */
  readonly messages: readonly unknown[];
  /** Results of tool calls that the source made after the step, by hash of tool and arguments. */
  readonly recorded: Readonly<Record<string, ToolOutcome>>;
}

export interface ToolOutcome {
  readonly output?: unknown;
  readonly error?: { readonly code: string; readonly detail: string };
}

/** What a decision wants done. Ids derive from the workflow, so that doing it again is known. */
export type Command =
  | {
      readonly kind: 'call_claude';
      /** `<workflow>/m<n>` */
      readonly callId: string;
      /** `n`, also the place in the conversation. Null: the call stands alone. */
      readonly seq: number | null;
      /** Number among the calls whose text is told, from 1; null for calls nobody listens to. */
      readonly turn: number | null;
      /** Complete but for the messages of the conversation before it. One of the two. */
      readonly params?: Readonly<Record<string, unknown>>;
      readonly paramsRef?: string;
    }
  | { readonly kind: 'cancel_call'; readonly callId: string; readonly seq: number | null }
  | {
      readonly kind: 'run_tool';
      readonly callId: string;
      readonly via: 'runner' | 'worker';
      readonly tool: string;
      readonly toolVersion: number;
      readonly arguments: Readonly<Record<string, unknown>>;
      /** Only workers are asked again by the workflow; tool-runner retries by itself. */
      readonly attempt: number;
      readonly deadline: EpochMs;
    }
  | {
      readonly kind: 'cancel_tool';
      readonly callId: string;
      /** A tenant's workers are told nothing: they stop by their deadline. */
      readonly via: 'runner' | 'worker';
    }
  | { readonly kind: 'describe_tools'; readonly callId: string; readonly tools: readonly string[] }
  | {
      readonly kind: 'split_document';
      readonly callId: string;
      readonly params: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'start_child'; readonly request: WorkflowRequested }
  | { readonly kind: 'cancel_child'; readonly childId: WorkflowId }
  /** Sets it anew when there is one of the name. */
  | { readonly kind: 'set_timer'; readonly name: string; readonly at: EpochMs }
  | { readonly kind: 'clear_timer'; readonly name: string }
  | { readonly kind: 'tell_step'; readonly step: JobStep['step'] }
  | { readonly kind: 'finish'; readonly end: WorkflowEnd };

/** How a workflow ends. The shell makes of it the job's end, or tells the parent. */
export interface WorkflowEnd {
  readonly status: TerminalStatus;
  readonly result?: string;
  /** The last answer, as the Messages API gave it. */
  readonly message?: Readonly<Record<string, unknown>>;
  readonly model?: string;
  readonly error?: JobError;
  readonly spent: Spending;
  /** Of all answers that said what they used, those of sub-agents included. */
  readonly usage?: Usage;
  readonly tainted: boolean;
  readonly standIn: boolean;
}

/**
 * What an event comes to. `ignored`: it changes nothing, no version is written (a late result, a
 * duplicate, an approval of another hash). Commands are published in their order.
 */
export type Decision<State = unknown> =
  | { readonly kind: 'ignored'; readonly why: string }
  | {
      readonly kind: 'changed';
      readonly status: WorkflowStatus;
      readonly state: State;
      readonly commands: readonly Command[];
      /** Steps that begin or end here, and of which neither the event nor a command says it. */
      readonly noted?: readonly NotedStep[];
    };

/** What a timeline shows of one `tool_use` or approval, and nobody is told. */
export interface NotedStep {
  readonly kind: 'tool_call' | 'approval' | 'child';
  /** Of the call, the approval or the sub-agent. */
  readonly id: string;
  readonly name: string;
  readonly input?: unknown;
  /** Absent: it begins, and its end is still to come. */
  readonly end?: {
    readonly output?: unknown;
    readonly error?: { readonly code: ErrorCode; readonly detail: string };
    readonly isError?: boolean;
  };
}

/** What people are asked, and what was spent: of a state, for the API. */
export interface WorkflowView {
  readonly approvals: readonly ApprovalView[];
  readonly spent: Spending;
  readonly limits?: BudgetLimits;
  /** Which limit has to be raised before it goes on. */
  readonly limit_reached?: LimitName;
  /** Names of signals that are waited for. */
  readonly signals: readonly string[];
  readonly tainted: boolean;
}

/** A command that waits for its answer. */
export interface Outstanding {
  /** Of the journal's entry that has it. */
  readonly version: number;
  /** Of the call or the sub-agent. */
  readonly id: string;
}

/** One kind of workflow at one version of its state. Pure: no clock, no randomness, no waiting. */
export interface Reducer<State = unknown> {
  readonly kind: WorkflowKind;
  readonly schemaVersion: number;
  /** The first event is always `requested`, or a cancel that came before it. */
  decide(workflow: Workflow<State>, event: WorkflowEvent, now: EpochMs): Decision<State>;
  view(state: State): WorkflowView;
  /** What was asked for, has no answer yet, and is not asked again by a timer. */
  outstanding(state: State): readonly Outstanding[];
  /** The state of the version before as one of this one. Absent: runs of it go on as they began. */
  migrate?(old: unknown): State;
}
