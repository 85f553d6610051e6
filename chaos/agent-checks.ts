import type { AgentHistory, Kill, Send, ToldEnd, ToolSend } from './agent-history.ts';

/**
 * The eyes of the story: each check names what it found, and nothing when all is well. Pure, so
 * that a spec shows with hand-made histories that each of them sees.
 *
 * What a service says of itself is believed for what was committed alone; what was sent is told by
 * those who received it.
 */
export type Check = (history: AgentHistory) => string[];

export const agentChecks = {
  'not-ended': notEnded,
  'ended-not-once': endedNotOnce,
  'broken-histories': brokenHistories,
  'repeated-sends': repeatedSends,
  'sends-after-commit': sendsAfterCommit,
  'unsteady-keys': unsteadyKeys,
  'steps-never-sent': stepsNeverSent,
  'repeated-paid-calls': repeatedPaidCalls,
  'unlabelled-paid-calls': unlabelledPaidCalls,
  'webhooks-not-one': webhooksNotOne,
  'left-open': leftOpen,
} satisfies Record<string, Check>;

/** How far a connection's end may be seen from the kill that ended it: the machine is busy. */
const seenWithinMs = 1_500;
/** From an answer to the commit of what it said, at the most: until then the call is in flight. */
const committedWithinMs = 2_000;
const terminal = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** I1, I10: every acknowledged job ends, at ingest and in its workflow. */
function notEnded({ accepted, statuses, workflows }: AgentHistory): string[] {
  const ended = new Set(workflows.flatMap(({ endedAtMs, id }) => (endedAtMs === null ? [] : [id])));
  return accepted.flatMap((job) => {
    const status = statuses.get(job) ?? 'unknown to ingest';
    if (!terminal.has(status)) return [`${job} is ${status}`];
    return ended.has(job) ? [] : [`the workflow of ${job} has not ended`];
  });
}

/** I1, I2: one end of each job, in Kafka under one id and in the journal at one version. */
function endedNotOnce({ accepted, ends, journal, statuses }: AgentHistory): string[] {
  const told = Map.groupBy(ends, ({ jobId }) => jobId);
  const finishes = Map.groupBy(
    journal.filter((row) => row.finishes),
    ({ workflow }) => workflow,
  );
  return accepted.flatMap((job) => {
    const types = new Set(told.get(job)?.map(({ type }) => type));
    const ids = distinct(told.get(job));
    const found = [];
    if (ids !== 1) found.push(`${job} has ${ids} ends in jobs.finished.v1`);
    if (types.size > 1) found.push(`${job} ended as ${[...types].join(' and ')}`);
    const [type = ''] = types;
    if (types.size === 1 && !type.includes(`.${statuses.get(job)}.`)) {
      found.push(`${job} is ${statuses.get(job)}, but ${type} was told`);
    }
    const times = finishes.get(job)?.length ?? 0;
    if (times !== 1) found.push(`${job} finished ${times} times in its journal`);
    return found;
  });
}

/** I3: versions 1 to n, no event twice, nothing after the end, and the row at version n. */
function brokenHistories({ journal, workflows }: AgentHistory): string[] {
  const rows = Map.groupBy(journal, ({ workflow }) => workflow);
  return workflows.flatMap(({ id, version }) => {
    const own = (rows.get(id) ?? []).toSorted((a, b) => a.version - b.version);
    const found = [];
    const gap = own.findIndex((row, i) => row.version !== i + 1);
    if (gap >= 0) found.push(`${id} has version ${own[gap]?.version} at place ${gap + 1}`);
    if (new Set(own.map(({ eventId }) => eventId)).size !== own.length) {
      found.push(`${id} has an event at two versions`);
    }
    if (own.length !== version) {
      found.push(`${id} is at version ${version}, its journal has ${own.length} entries`);
    }
    const end = own.findIndex(({ finishes }) => finishes);
    if (end >= 0 && end !== own.length - 1) found.push(`${id} went on after its end`);
    return found;
  });
}

/** I4: a tool is called once, and once more for each process that was killed with the call. */
function repeatedSends({ kills, toolSends }: AgentHistory): string[] {
  return unexplained(toolSends, kills, 'tool-runner');
}

/** I4: what is committed is not done again. */
function sendsAfterCommit({ journal, toolSends }: AgentHistory): string[] {
  const committed = new Map(
    journal.flatMap(({ atMs, callId, type }) =>
      type === 'tool_completed' && callId !== null ? [[callId, atMs] as const] : [],
    ),
  );
  return toolSends.flatMap(({ callId, receivedAtMs }) => {
    const lateMs = receivedAtMs - (committed.get(callId) ?? Infinity);
    return lateMs > 0 ? [`${callId} was sent ${lateMs} ms after its result was committed`] : [];
  });
}

/** A call keeps its key, so that a tool can tell the second time from another call. */
function unsteadyKeys({ toolSends }: AgentHistory): string[] {
  const count = (of: (send: ToolSend) => string, what: (send: ToolSend) => string) =>
    [...Map.groupBy(toolSends, of)].flatMap(([name, sends]) => {
      const seen = new Set(sends.map(what)).size;
      return seen > 1 ? [{ name, seen }] : [];
    });
  const keys = count(({ callId }) => callId, ({ idempotencyKey }) => idempotencyKey);
  const calls = count(({ idempotencyKey }) => idempotencyKey, ({ callId }) => callId);
  return [
    ...keys.map(({ name, seen }) => `${name} was sent under ${seen} keys`),
    ...calls.map(({ name, seen }) => `the key ${name} stands for ${seen} calls`),
  ];
}

/** A result in the journal is one that a tool gave. */
function stepsNeverSent({ journal, toolSends }: AgentHistory): string[] {
  const sent = new Set(toolSends.map(({ callId }) => callId));
  return journal.flatMap(({ callId, hasOutput, type }) => {
    if (type !== 'tool_completed' || !hasOutput || callId === null || sent.has(callId)) return [];
    return [`${callId} has a result and was never sent`];
  });
}

/** A call is paid once, and once more for each process that was killed with the call. */
function repeatedPaidCalls({ kills, modelSends }: AgentHistory): string[] {
  return unexplained(modelSends, kills, 'claude-worker');
}

/** I5: each send more than the one that was answered is labelled as UNKNOWN. */
function unlabelledPaidCalls({ modelSends, unknownAttempts }: AgentHistory): string[] {
  return [...Map.groupBy(modelSends, ({ callId }) => callId)].flatMap(([callId, sends]) => {
    const labelled = unknownAttempts.get(callId) ?? 0;
    if (sends.length <= 1 + labelled) return [];
    return [`${callId} was sent ${sends.length} times, ${labelled} of them labelled UNKNOWN`];
  });
}

/** I7: each end reaches its endpoint, under one id. */
function webhooksNotOne({ accepted, webhooks }: AgentHistory): string[] {
  const told = Map.groupBy(webhooks, ({ jobId }) => jobId);
  return accepted.flatMap((job) => {
    const ids = distinct(told.get(job));
    return ids === 1 ? [] : [`${job} has ${ids} webhooks`];
  });
}

/** I10: no timer, execution, call or message outlives the last end. */
function leftOpen({ open }: AgentHistory): string[] {
  return Object.entries(open).flatMap(([table, rows]) =>
    rows === 0 ? [] : [`${rows} rows of ${table}`],
  );
}

/** Calls that were sent oftener than once, and once more for each kill that cut a send off. */
export function unexplained(
  sends: readonly Send[],
  kills: readonly Kill[],
  service: string,
): string[] {
  const fatal = kills.filter((kill) => kill.service === service || kill.service === 'postgres');
  return [...Map.groupBy(sends, ({ callId }) => callId)].flatMap(([callId, of]) => {
    const inOrder = of.toSorted((a, b) => a.receivedAtMs - b.receivedAtMs);
    const cut = inOrder.slice(0, -1).filter((send, i) => {
      const again = inOrder[i + 1]?.receivedAtMs ?? Infinity;
      return fatal.some((kill) => kill.atMs <= again && wasCutOff(send, kill));
    });
    if (inOrder.length <= 1 + cut.length) return [];
    return [`${callId} was sent ${inOrder.length} times, ${cut.length} of them cut off by a kill`];
  });
}

/** Sends that were cut off by a kill of a service: its calls in flight. */
export function cutOff(sends: readonly Send[], kills: readonly Kill[], service: string): number {
  const own = kills.filter((kill) => kill.service === service);
  return sends.filter((send) => own.some((kill) => wasCutOff(send, kill))).length;
}

/**
 * A process's connections end with it, and a call goes by one connection of one process. What was
 * answered a while before was committed, whatever became of its connection. Who cannot reach
 * Postgres for a lease has lost what it runs, as if it had been killed.
 */
function wasCutOff(send: Send, kill: Kill): boolean {
  if ((send.answeredAtMs ?? Infinity) <= kill.atMs - committedWithinMs) return false;
  if (kill.service === 'postgres') return send.receivedAtMs <= kill.atMs;
  const seenAfterMs = (send.connectionEndedAtMs ?? Infinity) - kill.atMs;
  return seenAfterMs >= 0 && seenAfterMs <= seenWithinMs;
}

function distinct(told: readonly ToldEnd[] | undefined): number {
  return new Set(told?.map(({ id }) => id)).size;
}

/** Versions that an average kill has to find under way: fewer show nothing. */
const versionsPerKillMin = 5;

/** I11: why a night shows nothing, since too little went on in it; null: it counts. */
export function thinness(history: AgentHistory, plannedKills: number): string | null {
  const { journal, kills, modelSends, toolSends } = history;
  if (kills.length < plannedKills) return `void: ${kills.length} of ${plannedKills} kills`;
  const first = Math.min(...kills.map(({ atMs }) => atMs));
  const last = Math.max(...kills.map(({ atMs }) => atMs));
  const versions = journal.filter(({ atMs }) => atMs >= first && atMs <= last).length;
  if (versions < versionsPerKillMin * kills.length) {
    return `void: only ${versions} steps were committed during ${kills.length} kills`;
  }
  if (cutOff(toolSends, kills, 'tool-runner') === 0) return 'void: no kill found a tool at work';
  if (cutOff(modelSends, kills, 'claude-worker') === 0) return 'void: no kill found a model call';
  return null;
}
