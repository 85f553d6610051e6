import { daysAround, isTerminal, type OutgoingMessage } from '@millrace/contracts';
import { outboxColumns } from '@millrace/postgres';

import type { HeldWorkflow } from '../core/fold.ts';
import type { StoredCommand } from '../core/journal-entry.ts';
import type { WorkflowEvent, WorkflowStatus } from '../core/workflow.ts';
import type { Arrival, WorkflowName } from '../ports.ts';
import type { WorkflowBodies } from './workflow-rows.ts';

/** An entry of the journal as it is written. */
export interface NewEntry {
  readonly version: number;
  readonly event: WorkflowEvent;
  readonly atMs: number;
  readonly commands: readonly StoredCommand[];
  /** `commands` and what goes with them. */
  readonly answerJson: string;
}

/** What becomes of one workflow in one statement. */
export interface WorkflowWrite {
  readonly workflow: WorkflowName;
  /** As it was loaded; null: there was no row. */
  readonly was: HeldWorkflow | null;
  readonly next: HeldWorkflow;
  readonly trace: Readonly<Record<string, string>>;
  readonly entries: readonly NewEntry[];
  readonly parked: readonly WorkflowEvent[];
  /** Of a run that was parked before it could set its own. */
  readonly timers: readonly { readonly name: string; readonly at: number }[];
  readonly fired: readonly { readonly name: string; readonly version: number }[];
  readonly outbox: readonly OutgoingMessage[];
}

type Columns = unknown[][];

/** The parameters of `writeSql`, in its order. */
export function writeColumns(writes: readonly WorkflowWrite[], bodies: WorkflowBodies): unknown[] {
  const days = daysAround(writes.map(({ workflow }) => workflow.day));
  return [
    ...changedColumns(writes, bodies),
    ...days,
    ...begunColumns(writes, bodies),
    ...entryColumns(writes, bodies),
    ...clearedColumns(writes),
    ...woundColumns(writes),
    ...outboxRows(writes),
    ...parkedColumns(writes, bodies),
  ];
}

function hasEnded(status: WorkflowStatus): boolean {
  return status !== 'parked' && isTerminal(status);
}

function changedColumns(writes: readonly WorkflowWrite[], bodies: WorkflowBodies): Columns {
  const changed = writes.flatMap(({ next, was, workflow }) =>
    was === null ? [] : [{ next, was, workflow }],
  );
  return [
    ...nameColumns(changed),
    changed.map(({ was }) => was.version),
    changed.map(({ was }) => was.parkedCode),
    changed.map(({ next }) => next.version),
    changed.map(({ next }) => next.schemaVersion),
    changed.map(({ next }) => next.status),
    changed.map(({ next }) => next.parkedCode),
    // What is as it was stays as it is, even where it could not be read.
    changed.map(({ next, was }) =>
      next.state === was.state ? null : bodies.encode(next.tenant, next.state),
    ),
    changed.map(({ next }) => hasEnded(next.status)),
  ];
}

function begunColumns(writes: readonly WorkflowWrite[], bodies: WorkflowBodies): Columns {
  const begun = writes.filter(({ was }) => was === null);
  return [
    ...nameColumns(begun),
    begun.map(({ next }) => next.kind),
    begun.map(({ next }) => next.schemaVersion),
    begun.map(({ next }) => next.version),
    begun.map(({ next }) => next.status),
    begun.map(({ next }) => next.parkedCode),
    begun.map(({ next }) => bodies.encode(next.tenant, next.head)),
    begun.map(({ next }) => bodies.encode(next.tenant, next.state)),
    begun.map(({ trace }) => trace['traceparent'] ?? null),
    begun.map(({ trace }) => trace['tracestate'] ?? null),
    begun.map(({ next }) => hasEnded(next.status)),
  ];
}

function nameColumns(rows: readonly { readonly workflow: WorkflowName }[]): Columns {
  return [
    rows.map(({ workflow }) => workflow.tenant),
    rows.map(({ workflow }) => workflow.id),
    rows.map(({ workflow }) => workflow.day),
  ];
}

function entryColumns(writes: readonly WorkflowWrite[], bodies: WorkflowBodies): Columns {
  const rows = writes.flatMap(({ entries, workflow }) =>
    entries.map((entry) => ({ entry, workflow })),
  );
  return [
    ...nameColumns(rows),
    rows.map(({ entry }) => entry.version),
    rows.map(({ entry }) => entry.event.eventId),
    rows.map(({ entry, workflow }) => bodies.encode(workflow.tenant, entry.event)),
    rows.map(({ entry, workflow }) => bodies.encodeJson(workflow.tenant, entry.answerJson)),
    rows.map(({ entry }) => new Date(entry.atMs)),
  ];
}

/** What a workflow's entries make of its timers: the last word on each name counts. */
function timersOf(write: WorkflowWrite) {
  const set = new Map<string, { readonly version: number; readonly at: number }>();
  const cleared = new Set<string>();
  for (const { at, name } of write.timers) set.set(name, { version: write.next.version, at });
  for (const { commands, version } of write.entries) {
    for (const command of commands) {
      if (command.kind === 'set_timer') {
        set.set(command.name, { version, at: command.at });
        cleared.delete(command.name);
      } else if (command.kind === 'clear_timer') {
        set.delete(command.name);
        cleared.add(command.name);
      }
    }
  }
  return { set, cleared };
}

interface Cleared {
  readonly workflow: WorkflowName;
  /** Null: all of them. */
  readonly name: string | null;
  readonly version: number | null;
}

function clearedColumns(writes: readonly WorkflowWrite[]): Columns {
  const rows = writes.flatMap((write): Cleared[] => {
    const { fired, next, was, workflow } = write;
    if (hasEnded(next.status)) {
      return was === null ? [] : [{ workflow, name: null, version: null }];
    }
    const { cleared, set } = timersOf(write);
    // One that is set anew is written over instead.
    const over = fired.filter(({ name }) => !set.has(name) && !cleared.has(name));
    return [
      ...[...cleared].map((name) => ({ workflow, name, version: null })),
      ...over.map(({ name, version }) => ({ workflow, name, version })),
    ];
  });
  return [
    rows.map(({ workflow }) => workflow.tenant),
    rows.map(({ workflow }) => workflow.id),
    rows.map(({ name }) => name),
    rows.map(({ version }) => version),
  ];
}

function woundColumns(writes: readonly WorkflowWrite[]): Columns {
  const rows = writes.flatMap((write) => {
    if (hasEnded(write.next.status)) return [];
    const { set } = timersOf(write);
    return [...set].map(([name, timer]) => ({ workflow: write.workflow, name, ...timer }));
  });
  return [
    rows.map(({ workflow }) => workflow.tenant),
    rows.map(({ workflow }) => workflow.id),
    rows.map(({ name }) => name),
    rows.map(({ workflow }) => workflow.day),
    rows.map(({ version }) => version),
    rows.map(({ at }) => new Date(at)),
  ];
}

function outboxRows(writes: readonly WorkflowWrite[]): Columns {
  const rows = writes.flatMap(({ outbox, workflow }) =>
    outbox.map((message) => ({ message, workflow })),
  );
  return [
    rows.map(({ workflow }) => workflow.tenant),
    rows.map(({ workflow }) => workflow.id),
    ...outboxColumns(rows.map(({ message }) => message)),
  ];
}

function parkedColumns(writes: readonly WorkflowWrite[], bodies: WorkflowBodies): Columns {
  const rows = writes.flatMap(({ parked, workflow }) =>
    parked.map((event) => ({ event, workflow })),
  );
  return [
    ...nameColumns(rows),
    rows.map(({ event }) => event.eventId),
    rows.map(({ event, workflow }) => bodies.encode(workflow.tenant, event)),
  ];
}

/** Timers whose firing changed nothing, and parked events that were decided at last. */
export function consumed(arrivals: readonly Arrival[]): {
  readonly timers: Columns;
  readonly events: Columns;
} {
  const fired = arrivals.flatMap(({ timer, workflow }) =>
    timer === undefined ? [] : [{ ...timer, workflow }],
  );
  const unparked = arrivals.filter(({ unparks }) => unparks);
  return {
    timers: [
      fired.map(({ workflow }) => workflow.tenant),
      fired.map(({ workflow }) => workflow.id),
      fired.map(({ name }) => name),
      fired.map(({ version }) => version),
    ],
    events: [
      unparked.map(({ workflow }) => workflow.tenant),
      unparked.map(({ workflow }) => workflow.id),
      unparked.map(({ event }) => event.eventId),
    ],
  };
}
