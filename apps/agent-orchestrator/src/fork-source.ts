import { jobDayOf, type WorkflowRequested } from '@millrace/contracts';

import type { JournalEntry } from './core/journal-entry.ts';
import type { Reducers } from './core/reducers.ts';
import { forkedRun } from './core/replay.ts';
import type { WorkflowEvent } from './core/workflow.ts';
import type { JournalPage, WorkflowName, Workflows } from './ports.ts';
import type { StoredBodies } from './stored-bodies.ts';

/** Entries that are read at once, and their bytes. */
const pageEntriesMax = 500;
const pageBytesMax = 4 * 1024 * 1024;
/** Bytes of a run that is forked, its bodies included: some times that while it is replayed. */
const sourceBytesMax = 64 * 1024 * 1024;

export interface ForkSourceParts {
  readonly workflows: Workflows;
  readonly bodies: StoredBodies;
  readonly reducers: Reducers;
}

/** What a fork's request is told of its source: nothing when it is no fork. */
type Source = Pick<Extract<WorkflowEvent, { type: 'requested' }>, 'forked' | 'unforkable'>;

/** What forks take over: the journal of another run, replayed up to a step. One at a time. */
export class ForkSource {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly parts: ForkSourceParts) {}

  async load(request: WorkflowRequested): Promise<Source> {
    const { fork, tenant } = request;
    if (fork === undefined) return {};
    const name = { tenant, id: fork.workflow_id, day: jobDayOf(fork.created_at) };
    const loaded = this.last.then(() => this.read(name, fork.from_step));
    this.last = loaded.catch(() => undefined);
    return loaded;
  }

  private async read(name: WorkflowName, fromStep: number): Promise<Source> {
    const { reducers, workflows } = this.parts;
    const source = await workflows.find(name);
    if (source === null) return gone;
    const entries = await this.entriesOf(name);
    if (entries === null) return tooLarge;
    const forked = forkedRun({ head: source.head, entries, reducers }, fromStep);
    return forked === null ? gone : { forked };
  }

  /** Null: there is more than is held. */
  private async entriesOf(name: WorkflowName): Promise<JournalEntry[] | null> {
    const { bodies, workflows } = this.parts;
    const entries: JournalEntry[] = [];
    const room = { bytesLeft: sourceBytesMax };
    const size = { limit: pageEntriesMax, bytesMax: pageBytesMax };
    for (let from: number | null = 1; from !== null; ) {
      const page: JournalPage = await workflows.journal(name, { from, ...size });
      room.bytesLeft -= page.bytes;
      for (const entry of page.entries) {
        if (room.bytesLeft < 0) return null;
        entries.push(await bodies.wholeEntry(name.tenant, entry, room));
      }
      from = page.next;
    }
    return room.bytesLeft < 0 ? null : entries;
  }
}

const gone: Source = { unforkable: { code: 'gone', detail: 'the run to be forked is not kept' } };
const tooLarge: Source = {
  unforkable: {
    code: 'history_too_long',
    detail: `the run to be forked has more than ${sourceBytesMax} bytes`,
  },
};
