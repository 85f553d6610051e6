import type {
  AgentHistory,
  JournalRow,
  Kill,
  Send,
  ToldEnd,
  ToolSend,
  WorkflowRow,
} from './agent-history.ts';
import type { ChaosStack } from './chaos-stack.ts';

/** What the story itself knows. */
export interface Night {
  readonly accepted: readonly string[];
  readonly kills: readonly Kill[];
  readonly faultsEndedAtMs: number;
}

/** What goes with the last end at the latest. */
const openSql = `
SELECT 'ingest.jobs' AS name, count(*)::int AS rows FROM ingest.jobs WHERE finished_at IS NULL
UNION ALL SELECT 'ingest.outbox', count(*)::int FROM ingest.outbox
UNION ALL SELECT 'orchestrator.workflows', count(*)::int FROM orchestrator.workflows
  WHERE ended_at IS NULL
UNION ALL SELECT 'orchestrator.timers', count(*)::int FROM orchestrator.timers
UNION ALL SELECT 'orchestrator.parked_events', count(*)::int FROM orchestrator.parked_events
UNION ALL SELECT 'orchestrator.outbox', count(*)::int FROM orchestrator.outbox
UNION ALL SELECT 'worker.calls', count(*)::int FROM worker.calls
  WHERE state IN ('QUEUED', 'DISPATCHED')
UNION ALL SELECT 'worker.outbox', count(*)::int FROM worker.outbox
UNION ALL SELECT 'tools.executions', count(*)::int FROM tools.executions WHERE ended_at IS NULL
UNION ALL SELECT 'tools.outbox', count(*)::int FROM tools.outbox
UNION ALL SELECT 'dispatcher.deliveries', count(*)::int FROM dispatcher.deliveries
  WHERE ended_at IS NULL`;

const journalSql = `
SELECT id, version, event_id, convert_from(event, 'UTF8') AS event,
  convert_from(commands, 'UTF8') AS commands, (extract(epoch FROM at) * 1000)::float8 AS at_ms
FROM orchestrator.journal ORDER BY id, version`;

const workflowsSql = `
SELECT id, version, (extract(epoch FROM ended_at) * 1000)::float8 AS ended_at_ms
FROM orchestrator.workflows`;

/** A call that was given up as UNKNOWN closes without a row among the attempts before it. */
const unknownSql = `
SELECT call_id, sum(attempts)::int AS attempts FROM (
  SELECT call_id, count(*) AS attempts FROM worker.attempts WHERE outcome = 'unknown'
  GROUP BY call_id
  UNION ALL SELECT call_id, 1 FROM worker.calls WHERE state = 'UNKNOWN') AS labelled
GROUP BY call_id`;

/** Whether every end was told to everybody, and nothing waits any more. */
export async function isAllTold(chaos: ChaosStack, { accepted }: Night): Promise<boolean> {
  const open = await openRows(chaos);
  if (Object.values(open).some((rows) => rows > 0)) return false;
  const { webhooks } = await chaos.tools.ask<{ webhooks: ToldEnd[] }>();
  const told = new Set(webhooks.map(({ jobId }) => jobId));
  return accepted.every((job) => told.has(job)) && (await chaos.ends.isRead());
}

export async function readHistory(chaos: ChaosStack, night: Night): Promise<AgentHistory> {
  const { database, ends, model, tools } = chaos;
  const edge = await tools.ask<{ sends: ToolSend[]; webhooks: ToldEnd[] }>();
  const { sends: modelSends } = await model.ask<{ sends: Send[] }>();
  const jobs = await database.query<{ id: string; status: string }>(
    'SELECT id, status FROM ingest.jobs',
  );
  const unknown = await database.query<{ call_id: string; attempts: number }>(unknownSql);
  return {
    accepted: night.accepted,
    kills: night.kills,
    toolSends: edge.sends,
    modelSends,
    unknownAttempts: new Map(unknown.rows.map((row) => [row.call_id, row.attempts])),
    ends: ends.told,
    webhooks: edge.webhooks,
    statuses: new Map(jobs.rows.map(({ id, status }) => [id, status])),
    workflows: await workflowsOf(chaos),
    journal: await journalOf(chaos),
    open: await openRows(chaos),
  };
}

async function openRows({ database }: ChaosStack): Promise<Record<string, number>> {
  const { rows } = await database.query<{ name: string; rows: number }>(openSql);
  return Object.fromEntries(rows.map((row) => [row.name, row.rows]));
}

async function workflowsOf({ database }: ChaosStack): Promise<WorkflowRow[]> {
  const { rows } = await database.query<{ id: string; version: number; ended_at_ms: number }>(
    workflowsSql,
  );
  return rows.map(({ id, version, ended_at_ms: endedAtMs }) => ({ id, version, endedAtMs }));
}

interface StoredRow {
  readonly id: string;
  readonly version: number;
  readonly event_id: string;
  readonly event: string;
  readonly commands: string;
  readonly at_ms: number;
}

async function journalOf({ database }: ChaosStack): Promise<JournalRow[]> {
  const { rows } = await database.query<StoredRow>(journalSql);
  return rows.map((row) => {
    const event: { type: string; data?: { call_id?: string; output?: unknown } } = JSON.parse(
      row.event,
    );
    const { commands }: { commands: { kind: string }[] } = JSON.parse(row.commands);
    return {
      workflow: row.id,
      version: row.version,
      eventId: row.event_id,
      type: event.type,
      atMs: row.at_ms,
      callId: event.data?.call_id ?? null,
      hasOutput: event.data?.output !== undefined,
      finishes: commands.some(({ kind }) => kind === 'finish'),
    };
  });
}
