import {
  errorCodeSchema,
  jobStatusChangedSchema,
  traceHeaders,
  workflowRequestedSchema,
  workflowStatusSchema,
  type PayloadCodec,
} from '@millrace/contracts';
import { z } from 'zod';

import type { HeldWorkflow } from '../core/fold.ts';
import type { Answer, JournalEntry, StoredCommand, WorkflowHead } from '../core/journal-entry.ts';
import type { NotedStep, WorkflowEvent } from '../core/workflow.ts';

/** A row of `loadSql`: of a workflow, of an entry that is known (`event_id`), or of the clock. */
export interface LoadedRow {
  readonly tenant: string;
  readonly id: string;
  readonly event_id: string | null;
  readonly version: number;
  readonly kind: string;
  readonly schema_version: number;
  readonly status: string;
  readonly parked_code: string | null;
  readonly request: Buffer;
  readonly body: Buffer;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly at_ms: number;
}

export type WorkflowRow = Omit<LoadedRow, 'event_id' | 'at_ms' | 'traceparent' | 'tracestate'>;

export interface EntryRow {
  readonly version: number;
  readonly event: Buffer;
  readonly commands: Buffer;
  readonly at_ms: number;
}

/** Parsed again only for workflows that were not seen lately: a head never changes. */
const headsKeptMax = 5_000;

const kindSchema = z.enum(['agent', 'document']);
const headSchema = workflowRequestedSchema.omit({ params: true, params_ref: true });
/** Written by this service alone, and checked when it was an event: only its outline is. */
const eventSchema = z.custom<WorkflowEvent>((value) => isObject(value) && 'eventId' in value);
const answerSchema = z.object({
  commands: z.array(z.custom<StoredCommand>((value) => isObject(value) && 'kind' in value)),
  told: jobStatusChangedSchema.shape.status.optional(),
  schemaVersion: z.int().positive().optional(),
  noted: z.array(z.custom<NotedStep>((value) => isObject(value) && 'kind' in value)).optional(),
});

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Reads and writes what the rows of workflows hold. */
export class WorkflowBodies {
  readonly #heads = new Map<string, { readonly request: Buffer; readonly head: WorkflowHead }>();

  constructor(private readonly codec: PayloadCodec) {}

  encode(tenant: string, value: unknown): Buffer {
    return this.encodeJson(tenant, JSON.stringify(value));
  }

  encodeJson(tenant: string, json: string): Buffer {
    return this.codec.encode(Buffer.from(json), { tenant, medium: 'table' });
  }

  workflowOf(row: WorkflowRow): HeldWorkflow {
    const head = this.#headOf(row);
    return {
      tenant: row.tenant,
      id: head.job_id,
      kind: kindSchema.parse(row.kind),
      schemaVersion: row.schema_version,
      version: row.version,
      status: workflowStatusSchema.parse(row.status),
      parkedCode: row.parked_code === null ? null : errorCodeSchema.parse(row.parked_code),
      state: this.#stateOf(row),
      head,
    };
  }

  answerOf(
    tenant: string,
    row: { readonly version: number; readonly body: Buffer; readonly at_ms: number },
  ): Answer {
    const read = answerSchema.parse(this.#decode(tenant, row.body));
    const { commands, noted, schemaVersion, told } = read;
    return {
      version: row.version,
      atMs: row.at_ms,
      commands,
      ...(told === undefined ? {} : { told }),
      ...(schemaVersion === undefined ? {} : { schemaVersion }),
      ...(noted === undefined ? {} : { noted }),
    };
  }

  entryOf(tenant: string, row: EntryRow): JournalEntry {
    const answer = this.answerOf(tenant, { ...row, body: row.commands });
    return { ...answer, event: this.eventOf(tenant, row.event) };
  }

  eventOf(tenant: string, bytes: Buffer): WorkflowEvent {
    return eventSchema.parse(this.#decode(tenant, bytes));
  }

  #headOf({ tenant, id, request }: WorkflowRow): WorkflowHead {
    const key = `${tenant}/${id}`;
    const known = this.#heads.get(key);
    // The same name on another day is another workflow.
    if (known?.request.equals(request) === true) return known.head;
    const head = headSchema.parse(this.#decode(tenant, request));
    if (this.#heads.size >= headsKeptMax) this.#heads.clear();
    this.#heads.set(key, { request, head });
    return head;
  }

  /** Undefined: it cannot be read. That concerns its run alone, and not those loaded with it. */
  #stateOf({ body, tenant }: WorkflowRow): unknown {
    try {
      return this.#decode(tenant, body);
    } catch {
      return undefined;
    }
  }

  #decode(tenant: string, bytes: Buffer): unknown {
    return JSON.parse(this.codec.decode(bytes, { tenant, medium: 'table' }).toString());
  }
}

export function traceOf(row: {
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}): Record<string, string> {
  return {
    ...(row.traceparent === null ? {} : { [traceHeaders.parent]: row.traceparent }),
    ...(row.tracestate === null ? {} : { [traceHeaders.state]: row.tracestate }),
  };
}
