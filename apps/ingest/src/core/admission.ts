import { assertNever, type ClaudeBacklog, type Lane, type TenantId } from '@millrace/contracts';

/** What this process has on its hands. */
export interface ProcessLoad {
  /** Jobs that wait for their commit, and for how long the first of them has. */
  readonly commitsWaiting: number;
  readonly oldestCommitMs: number;
  /** How late the event loop's timers have been over the last second, in the mean. */
  readonly loopDelayMs: number;
}

export interface Load {
  readonly process: ProcessLoad;
  /** What claude-worker told a moment ago; null when it has been silent. */
  readonly backlog: ClaudeBacklog | null;
}

/** What an operator may set. */
export interface AdmissionLimits {
  /** Calls of one tenant that may wait. */
  readonly tenantWaitingMax: number;
  /** How long a call of the lane `standard` may wait before more of them are refused. */
  readonly ageMsMax: number;
}

export type RefusalReason =
  | 'commits'
  | 'commit_age'
  | 'event_loop'
  | 'tenant_depth'
  | 'platform_depth'
  | 'platform_age';

export interface Refused {
  readonly kind: 'refuse';
  readonly code: 'overloaded' | 'queue_full';
  readonly reason: RefusalReason;
  readonly detail: string;
  readonly retryAfterSeconds: number;
}

export type AdmissionDecision = { readonly kind: 'admit' } | Refused;

/** 500 share a statement, which takes some 20 ms: those behind this many wait half a second. */
const commitsWaitingMax = 10_000;
/** As long as one waits for a connection: who has waited longer waits for a database that hangs. */
const commitAgeMsMax = 5_000;
/** Above this a probe's two seconds are near, and what is taken on now would be answered late. */
const loopDelayMsMax = 1_000;
/** claude-worker counts no further: what is not counted is not bounded. */
export const platformWaitingMax = 500_000;

/** Interactive work comes first in the queue, so it is late when it waits a fifth as long. */
const interactiveShare = 1 / 5;
/** From which pressure on a lane is refused: bulk first, interactive last. */
const pressureMax: Readonly<Record<Lane, number>> = { interactive: 1.5, standard: 1, bulk: 0.5 };
/** Bulk work may wait: half of this many times as long, 6 hours for 10 minutes. */
const bulkAgeFactor = 72;

/** Seconds until the next try, at least, and over how many more those refused are spread. */
const retryAfter: Readonly<Record<RefusalReason, readonly [least: number, spread: number]>> = {
  commits: [1, 4],
  commit_age: [2, 6],
  event_loop: [1, 4],
  tenant_depth: [10, 20],
  platform_depth: [30, 60],
  platform_age: [15, 45],
};

/**
 * Whether one more job is taken on, by what waits and for how long. Refused work has cost nothing
 * yet; work that was accepted keeps its place.
 * @param o.random from 0 up to 1: those who were refused together do not come back together.
 */
export function decideAdmission(
  job: { readonly tenant: TenantId; readonly lane: Lane },
  load: Load,
  o: { readonly limits: AdmissionLimits; readonly random: number },
): AdmissionDecision {
  const reason =
    processReason(load.process) ??
    (load.backlog === null ? null : platformReason(job, load.backlog, o.limits));
  return reason === null ? { kind: 'admit' } : refusal(reason, o.random);
}

/** Whether the limit is one of what waits elsewhere, while this process has time. */
export function isOfPlatform(reason: RefusalReason): boolean {
  return reason === 'tenant_depth' || reason === 'platform_depth' || reason === 'platform_age';
}

function processReason(load: ProcessLoad): RefusalReason | null {
  if (load.commitsWaiting >= commitsWaitingMax) return 'commits';
  if (load.oldestCommitMs > commitAgeMsMax) return 'commit_age';
  return load.loopDelayMs > loopDelayMsMax ? 'event_loop' : null;
}

function platformReason(
  { tenant, lane }: { readonly tenant: TenantId; readonly lane: Lane },
  backlog: ClaudeBacklog,
  limits: AdmissionLimits,
): RefusalReason | null {
  const own = backlog.tenants.find((row) => row.tenant === tenant)?.waiting ?? 0;
  if (own >= limits.tenantWaitingMax) return 'tenant_depth';
  if (backlog.waiting >= platformWaitingMax && lane !== 'interactive') return 'platform_depth';
  return pressureOn(lane, backlog, limits.ageMsMax) >= pressureMax[lane] ? 'platform_age' : null;
}

/** 1 is as late as may be. A lane that goes first is late by its own calls alone. */
function pressureOn(lane: Lane, { oldest_ms: oldestMs }: ClaudeBacklog, ageMsMax: number): number {
  const interactive = (oldestMs.interactive ?? 0) / (ageMsMax * interactiveShare);
  const standard = Math.max(interactive, (oldestMs.standard ?? 0) / ageMsMax);
  switch (lane) {
    case 'interactive':
      return interactive;
    case 'standard':
      return standard;
    case 'bulk':
      return Math.max(standard, (oldestMs.bulk ?? 0) / (ageMsMax * bulkAgeFactor));
    default:
      return assertNever(lane);
  }
}

function refusal(reason: RefusalReason, random: number): Refused {
  const [least, spread] = retryAfter[reason];
  return {
    kind: 'refuse',
    code: reason === 'tenant_depth' ? 'queue_full' : 'overloaded',
    reason,
    detail: details[reason],
    retryAfterSeconds: least + Math.floor((spread + 1) * random),
  };
}

const details: Readonly<Record<RefusalReason, string>> = {
  commits: 'too many jobs wait to be stored',
  commit_age: 'jobs wait too long to be stored',
  event_loop: 'this process is busy',
  tenant_depth: 'too many jobs of this tenant wait for their turn',
  platform_depth: 'too many jobs wait for their turn',
  platform_age: 'jobs of this lane wait too long for their turn',
};
