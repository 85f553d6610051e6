import type { Spending } from '@millrace/contracts';

import { agentReducer } from './agent-reducer.ts';
import { documentReducer } from './document-reducer.ts';
import type { Price } from './prices.ts';
import type { Outstanding, Reducer, Workflow, WorkflowKind } from './workflow.ts';

/** All reducers of this release: of each kind the versions that runs may still be of. */
export type Reducers = readonly Reducer[];

export function reducersWith(prices: readonly Price[]): Reducers {
  return [agentReducer(prices), documentReducer(prices)];
}

/** What new runs of a kind begin with; undefined: this release has none of it. */
export function newestReducer(reducers: Reducers, kind: WorkflowKind): Reducer | undefined {
  return reducers
    .filter((reducer) => reducer.kind === kind)
    .reduce<Reducer | undefined>(
      (best, one) => (best && best.schemaVersion > one.schemaVersion ? best : one),
      undefined,
    );
}

export function reducerOf(
  reducers: Reducers,
  kind: WorkflowKind,
  schemaVersion: number,
): Reducer | undefined {
  return reducers.find((one) => one.kind === kind && one.schemaVersion === schemaVersion);
}

/** A run with the reducer that goes on with it. */
export interface Runnable {
  readonly reducer: Reducer;
  readonly workflow: Workflow;
}

/**
 * A run begins with the newest reducer, and goes on with the one that it began with. When a release
 * has that one no longer, the run is migrated by the one of the next version. Undefined: none goes
 * on with it, and the run is to be parked as `unknown_workflow_version`.
 */
export function runnable(reducers: Reducers, workflow: Workflow): Runnable | undefined {
  const { kind, schemaVersion, version, state } = workflow;
  if (version === 0) {
    const reducer = newestReducer(reducers, kind);
    return reducer && { reducer, workflow: { ...workflow, schemaVersion: reducer.schemaVersion } };
  }
  const own = reducerOf(reducers, kind, schemaVersion);
  if (own) return { reducer: own, workflow };
  const next = reducerOf(reducers, kind, schemaVersion + 1);
  if (!next?.migrate) return undefined;
  const migrated = next.migrate(state);
  const { schemaVersion: to } = next;
  return { reducer: next, workflow: { ...workflow, schemaVersion: to, state: migrated } };
}

/** Kinds and versions of runs that this release goes on with. */
export function versionsRun(reducers: Reducers): readonly (readonly [WorkflowKind, number])[] {
  return reducers.flatMap((reducer) => {
    const { kind, schemaVersion } = reducer;
    const own = [kind, schemaVersion] as const;
    return reducer.migrate ? [own, [kind, schemaVersion - 1] as const] : [own];
  });
}

/** What a run has spent as far as its state can be read here. */
export function spentOf(reducers: Reducers, workflow: Workflow): Spending {
  try {
    const run = workflow.version === 0 ? undefined : runnable(reducers, workflow);
    return run?.reducer.view(run.workflow.state).spent ?? nothingSpent;
  } catch {
    return nothingSpent;
  }
}

/** What a run waits for as far as its state can be read here. */
export function outstandingOf(reducers: Reducers, workflow: Workflow): readonly Outstanding[] {
  try {
    const run = workflow.version === 0 ? undefined : runnable(reducers, workflow);
    return run?.reducer.outstanding(run.workflow.state) ?? [];
  } catch {
    return [];
  }
}

const nothingSpent: Spending = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };
