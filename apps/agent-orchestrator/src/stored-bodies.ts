import type { PayloadCodec } from '@millrace/contracts';
import type { Blobs } from '@millrace/postgres';
import { z } from 'zod';

import type { JournalEntry, StoredCommand } from './core/journal-entry.ts';
import type { WorkflowEvent } from './core/workflow.ts';

const bodySchema = z.record(z.string(), z.unknown());
type Body = z.infer<typeof bodySchema>;

/** Reads bodies that travel by reference back into the events that refer to them. */
export class StoredBodies {
  constructor(
    private readonly blobs: Pick<Blobs, 'get'>,
    private readonly codec: PayloadCodec,
  ) {}

  /** The event as it is decided on. A body that is gone is left out: the reducer says so. */
  async whole(tenant: string, event: WorkflowEvent): Promise<WorkflowEvent> {
    switch (event.type) {
      case 'requested': {
        const { data } = event;
        if (data.params_ref === undefined) return event;
        const params = await this.read(tenant, data.params_ref);
        return params === null ? event : { ...event, data: { ...data, params } };
      }
      case 'call_completed': {
        const { data } = event;
        if (data.message_ref === undefined) return event;
        const message = await this.read(tenant, data.message_ref);
        return message === null ? event : { ...event, data: { ...data, message } };
      }
      default:
        return event;
    }
  }

  /** A journal as it happened, for a replay. */
  async wholeEntries(tenant: string, entries: readonly JournalEntry[]): Promise<JournalEntry[]> {
    const whole: JournalEntry[] = [];
    for (const entry of entries) {
      const event = await this.whole(tenant, entry.event);
      const commands: StoredCommand[] = [];
      for (const command of entry.commands) commands.push(await this.wholeCommand(tenant, command));
      whole.push({ ...entry, event, commands });
    }
    return whole;
  }

  private async wholeCommand(tenant: string, command: StoredCommand): Promise<StoredCommand> {
    if (command.kind !== 'call_claude' || command.paramsRef === undefined) return command;
    const params = await this.read(tenant, command.paramsRef);
    return params === null ? command : { ...command, params };
  }

  private async read(tenant: string, id: string): Promise<Body | null> {
    const bytes = await this.blobs.get(tenant, id);
    if (bytes === null) return null;
    const body = this.codec.decode(bytes, { tenant, medium: 'blob' });
    return bodySchema.parse(JSON.parse(body.toString()));
  }
}
