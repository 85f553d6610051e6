/** A process that was killed. Times are milliseconds since 1970 by the one clock of the machine. */
export interface Kill {
  readonly service: string;
  readonly name: string;
  readonly atMs: number;
}

/** A request that reached a tool or the model: what was really sent, as the far edge saw it. */
export interface Send {
  readonly callId: string;
  readonly receivedAtMs: number;
  /** When the whole answer was handed to the network; null: it was cut off before that. */
  readonly answeredAtMs: number | null;
  /** When its connection ended; null: it is open still. */
  readonly connectionEndedAtMs: number | null;
}

export interface ToolSend extends Send {
  readonly idempotencyKey: string;
}

/** An event of `jobs.finished.v1`, or a webhook that told of it. */
export interface ToldEnd {
  readonly jobId: string;
  /** `ce_id`, or `webhook-id`. */
  readonly id: string;
  readonly type: string;
}

/** A version of a workflow, as its journal holds it. */
export interface JournalRow {
  readonly workflow: string;
  readonly version: number;
  readonly eventId: string;
  readonly type: string;
  /** When it was decided, by the database's clock. */
  readonly atMs: number;
  /** Of the call that it completes. */
  readonly callId: string | null;
  /** Whether a result of a tool came with it, and not an error. */
  readonly hasOutput: boolean;
  /** Whether the workflow ends with it. */
  readonly finishes: boolean;
}

export interface WorkflowRow {
  readonly id: string;
  readonly version: number;
  readonly endedAtMs: number | null;
}

/** All that is known of a night: by the clients, the far edges, Kafka and the tables. */
export interface AgentHistory {
  /** Jobs that were acknowledged. */
  readonly accepted: readonly string[];
  readonly kills: readonly Kill[];
  readonly toolSends: readonly ToolSend[];
  readonly modelSends: readonly Send[];
  /** Of a model call, the attempts that are labelled UNKNOWN. */
  readonly unknownAttempts: ReadonlyMap<string, number>;
  readonly ends: readonly ToldEnd[];
  readonly webhooks: readonly ToldEnd[];
  /** How ingest shows the jobs. */
  readonly statuses: ReadonlyMap<string, string>;
  readonly workflows: readonly WorkflowRow[];
  readonly journal: readonly JournalRow[];
  /** Rows that should have gone with the last end, by table. */
  readonly open: Readonly<Record<string, number>>;
}
