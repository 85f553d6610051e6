import type { PayloadCodec } from '@millrace/contracts';
import type { Blobs } from '@millrace/postgres';
import { z } from 'zod';

import type { JournalEntry, StoredCommand } from './core/journal-entry.ts';
import type { WorkflowEvent } from './core/workflow.ts';

const bodySchema = z.record(z.string(), z.unknown());
type Body = z.infer<typeof bodySchema>;

/** How much may still be read. */
export interface ByteRoom {
  bytesLeft: number;
}

/** Reads bodies that travel by reference back into the events that refer to them. */
export class StoredBodies {
  constructor(
    private readonly blobs: Pick<Blobs, 'get'>,
    private readonly codec: PayloadCodec,
  ) {}

  /** The event as it is decided on. A body that is gone is left out: the reducer says so. */
  async whole(tenant: string, event: WorkflowEvent, room?: ByteRoom): Promise<WorkflowEvent> {
    switch (event.type) {
      case 'requested': {
        const { data } = event;
        if (data.params_ref === undefined) return event;
        const params = await this.body(tenant, data.params_ref, room);
        return params === null ? event : { ...event, data: { ...data, params } };
      }
      case 'call_completed': {
        const { data } = event;
        if (data.message_ref === undefined) return event;
        const message = await this.body(tenant, data.message_ref, room);
        return message === null ? event : { ...event, data: { ...data, message } };
      }
      default:
        return event;
    }
  }

  /** An entry as it happened, for a replay. */
  async wholeEntry(tenant: string, entry: JournalEntry, room: ByteRoom): Promise<JournalEntry> {
    const event = await this.whole(tenant, entry.event, room);
    const commands: StoredCommand[] = [];
    for (const command of entry.commands) {
      commands.push(await this.wholeCommand(tenant, command, room));
    }
    return { ...entry, event, commands };
  }

  private async wholeCommand(tenant: string, command: StoredCommand, room: ByteRoom) {
    if (command.kind !== 'call_claude' || command.paramsRef === undefined) return command;
    const params = await this.body(tenant, command.paramsRef, room);
    return params === null ? command : { ...command, params };
  }

  /** Null: it is kept no longer. */
  async body(tenant: string, id: string, room?: ByteRoom): Promise<Body | null> {
    const bytes = await this.blobs.get(tenant, id);
    if (bytes === null) return null;
    if (room !== undefined) room.bytesLeft -= bytes.length;
    const body = this.codec.decode(bytes, { tenant, medium: 'blob' });
    return bodySchema.parse(JSON.parse(body.toString()));
  }
}
