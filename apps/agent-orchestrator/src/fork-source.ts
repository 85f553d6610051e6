import { jobDayOf, type WorkflowRequested } from '@millrace/contracts';

import type { JournalEntry } from './core/journal-entry.ts';
import type { Reducers } from './core/reducers.ts';
import { forkedRun } from './core/replay.ts';
import type { ForkedRun } from './core/workflow.ts';
import type { Workflows } from './ports.ts';
import type { StoredBodies } from './stored-bodies.ts';

/** Entries that are read at once: a thousand steps are a few MiB. */
const pageEntriesMax = 500;
/** Entries of a run that is forked: the reducers end runs long before. */
const entriesMax = 20_000;

export interface ForkSourceParts {
  readonly workflows: Workflows;
  readonly bodies: StoredBodies;
  readonly reducers: Reducers;
}

/** What forks take over: the journal of another run, replayed up to a step. */
export class ForkSource {
  constructor(private readonly parts: ForkSourceParts) {}

  /** Null: there is nothing to take over, as the run is gone or its reducer is not here. */
  async load(request: WorkflowRequested): Promise<ForkedRun | null> {
    const { fork, tenant } = request;
    if (fork === undefined) return null;
    const { bodies, reducers, workflows } = this.parts;
    const workflow = { tenant, id: fork.workflow_id, day: jobDayOf(fork.created_at) };
    const source = await workflows.find(workflow);
    if (source === null) return null;
    const entries: JournalEntry[] = [];
    for (let from = 1; entries.length < entriesMax; from = entries.length + 1) {
      const page = await workflows.journal(workflow, { from, limit: pageEntriesMax });
      entries.push(...(await bodies.wholeEntries(tenant, page)));
      if (page.length < pageEntriesMax) break;
    }
    return forkedRun({ head: source.head, entries, reducers }, fork.from_step);
  }
}
