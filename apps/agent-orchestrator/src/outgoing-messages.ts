import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import type { Context } from '@opentelemetry/api';

import type { Answer, WorkflowHead } from './core/journal-entry.ts';
import { jobIdOf, outgoingEvents } from './core/outgoing-event.ts';
import type { ToolTokens } from './core/tool-token.ts';

/** Makes of a version's answer what Kafka gets: the same again, whenever it is asked. */
export class OutgoingMessages {
  constructor(
    private readonly codec: PayloadCodec,
    private readonly tokens: ToolTokens,
  ) {}

  of(head: WorkflowHead, answer: Answer, context: Context): OutgoingMessage[] {
    const subject = jobIdOf(head);
    const time = new Date(answer.atMs);
    return outgoingEvents({ head, answer, tokens: this.tokens }).map((event) =>
      eventMessage({
        ...event,
        source: 'agent-orchestrator',
        subject,
        time,
        tenant: head.tenant,
        codec: this.codec,
        context,
      }),
    );
  }
}
