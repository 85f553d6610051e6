import type {
  OutgoingMessage,
  TenantChanged,
  ToolList,
  ToolSubmission,
  ToolView,
} from '@millrace/contracts';
import type { ExchangeRequest, ExchangeResult, SigningKeys } from '@millrace/egress';
import type { RefusedSecrets } from '@millrace/postgres';
import type { Claimed, ReleaseUnheld } from '@millrace/work';

import type { Completion } from './core/completion.ts';
import type { Execution, ExecutionName, NewExecution } from './core/execution.ts';
import type { BusyLane } from './core/origin-slots.ts';
import type { Outcome } from './core/outcome.ts';
import type { Tool } from './core/tool.ts';

/** The tools of tenants as people manage them. */
export abstract class ToolRegistry {
  /**
   * Registers a tool, or a new version of it; the same content makes none.
   * @throws ProblemError with `limit_reached`
   */
  abstract put(tenant: string, name: string, content: ToolSubmission): Promise<ToolView>;
  abstract get(tenant: string, name: string): Promise<ToolView | null>;
  abstract list(tenant: string, page: { after: string; limit: number }): Promise<ToolList>;
  /** @returns whether there was one. Runs under way keep the versions that they have. */
  abstract remove(tenant: string, name: string): Promise<boolean>;
}

export interface ToolVersionName {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
}

/** Tools of one tenant by their registered names. */
export interface ToolNames {
  readonly tenant: string;
  readonly names: readonly string[];
}

/** The tools of tenants as runs use them. */
export abstract class Tools {
  /** Of each its version as it was registered, in the order asked; null where there is none. */
  abstract versions(names: readonly ToolVersionName[]): Promise<(Tool | null)[]>;
  /** Of each ask the current versions of its tools, as far as there are such. */
  abstract current(asks: readonly ToolNames[]): Promise<Tool[][]>;
}

export interface ClaimOptions {
  readonly owner: string;
  readonly limit: number;
  /** The room that is left at origins that this process calls already. */
  readonly busy: readonly BusyLane[];
  /** The room at every other origin. */
  readonly roomElsewhere: number;
}

/** An end as it was told: the event's type, and its JSON. */
export interface ToldEnd {
  readonly type: string;
  readonly json: string;
}

/** What became of a row. */
export interface Settlement {
  readonly execution: Execution;
  readonly outcome: Outcome;
  /** The completion's event when it has ended. */
  readonly message: OutgoingMessage | null;
}

/** Whether an execution is new, and then when its time is over, as {@link Execution} has it. */
export type Inserted =
  | { readonly kind: 'new'; readonly endsAtMs: number | null }
  | { readonly kind: 'known' };

/** A cancel, and what is told when nothing was begun. */
export interface ExecutionCancel extends ExecutionName {
  readonly completion: Completion;
}

/** The table of executions. */
export abstract class Executions {
  /** Says of each whether it is new; a rejection is a BadRowError or lost infrastructure. */
  abstract insert(executions: readonly NewExecution[]): Promise<PromiseSettledResult<Inserted>[]>;
  /** The ends of those that have ended, by id. */
  abstract ends(names: readonly ExecutionName[]): Promise<Map<string, ToldEnd>>;
  /** Ends what waits, flags what runs, and remembers cancels that come before their request. */
  abstract cancel(cancels: readonly ExecutionCancel[]): Promise<void>;
  abstract claim(options: ClaimOptions): Promise<Claimed<Execution>>;
  /** Takes waiting rows whose time is over, as `owner`. */
  abstract claimExpired(owner: string, limit: number): Promise<Execution[]>;
  /** @returns whether the row was still its owner's; then the message is in the outbox. */
  abstract settle(settlement: Settlement): Promise<boolean>;
  abstract cancelRequested(owner: string): Promise<string[]>;
  /** Frees what dead processes held and says how much that was. */
  abstract reap(deadOwners: readonly string[]): Promise<number>;
  /** Puts back what `owner` was given longer ago than `ageMs` and does not hold; says how much. */
  abstract releaseUnheld(options: ReleaseUnheld): Promise<number>;
  /** How many wait for a slot or for their time, counted up to a bound. */
  abstract countWaiting(): Promise<number>;
}

export abstract class Tenants {
  /** @returns null while the tenant is not known here yet. */
  abstract signingKeysOf(tenant: string): Promise<readonly SigningKeys[] | null>;
  abstract put(changed: readonly TenantChanged[]): Promise<readonly RefusedSecrets[]>;
}

/** Bodies too large to travel in an event, by tenant and id. */
export interface BlobStore {
  put(tenant: string, id: string, body: { bytes: Buffer; ttlSeconds: number }): Promise<void>;
  get(tenant: string, id: string): Promise<Buffer | null>;
}

/** The way out to HTTP tools. */
export abstract class Courier {
  abstract exchange(request: ExchangeRequest): Promise<ExchangeResult>;
}
