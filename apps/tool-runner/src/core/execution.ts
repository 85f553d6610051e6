import type {
  DocumentSplitRequested,
  ToolDescribeRequested,
  ToolRunRequested,
} from '@millrace/contracts';

/** What is asked of tool-runner. */
export type ExecutionRequest =
  | { readonly kind: 'run'; readonly data: ToolRunRequested }
  | { readonly kind: 'describe'; readonly data: ToolDescribeRequested }
  | { readonly kind: 'split'; readonly data: DocumentSplitRequested };

/** What an execution is found by. */
export interface ExecutionName {
  /** `<tenant>/<call id>`; a tenant's name has no slash. */
  readonly id: string;
  readonly tenant: string;
  readonly callId: string;
  /** `YYYY-MM-DD`: the day that the job's rows are kept under. */
  readonly day: string;
}

/** An execution to be inserted: owned by this process when a slot is free, else by none yet. */
export interface NewExecution extends ExecutionName {
  readonly request: ExecutionRequest;
  /** With the tenant, what a hanging server is isolated by. */
  readonly origin: string;
  /** By the database's clock, which made it. Of a claimed one see `endsAtMs`. */
  readonly completeByMs: number | null;
  /** `traceparent` and `tracestate` of the span that took the request in. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  readonly owner: string | null;
}

/** A claimed execution: one attempt of it is about to be made. */
export interface Execution extends Omit<NewExecution, 'completeByMs'> {
  /**
   * When the time of its run is over, by this process's monotonic clock: the database said how much
   * was left when it gave the row. Null: it has no end.
   */
  readonly endsAtMs: number | null;
  /** The process that runs it; the fence of every statement that changes its row. */
  readonly owner: string;
  /** Attempts before this one that came to an end. */
  readonly attempts: number;
  /** Attempts before this one that ended with their process. */
  readonly lost: number;
  /** Someone asked for it to be cancelled before this attempt began: nothing is sent. */
  readonly cancelRequested: boolean;
}

export function executionId(tenant: string, callId: string): string {
  return `${tenant}/${callId}`;
}

/** The number of this attempt, from 1. */
export function attemptNumber({ attempts, lost }: Pick<Execution, 'attempts' | 'lost'>): number {
  return attempts + lost + 1;
}
