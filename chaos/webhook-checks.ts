import { cutOff } from './agent-checks.ts';
import type { Kill, Send } from './agent-history.ts';

/** A webhook that reached the receiver; `callId` is its path and its job. */
export interface WebhookSend extends Send {
  readonly webhookId: string;
  /** Of the body's bytes. */
  readonly digest: string;
}

/** All that is known of the night: by who published, who killed and who received. */
export interface WebhookHistory {
  /** What Kafka acknowledged asks for: paths and jobs, as `callId` has them. */
  readonly expected: readonly string[];
  readonly kills: readonly Kill[];
  readonly sends: readonly WebhookSend[];
  /** Deliveries that have not ended, by the table. */
  readonly open: number;
}

const service = 'webhook-dispatcher';
/** Part of the kills that has to find a POST under way: fewer show nothing. */
const usefulKillsMin = 0.5;

/**
 * The eyes of the story: each check names what it found, and nothing when all is well. Pure, so
 * that a spec shows with hand-made histories that each of them sees.
 */
export const webhookChecks = {
  lost,
  'strange-duplicates': strangeDuplicates,
  'left-open': leftOpen,
} satisfies Record<string, (history: WebhookHistory) => string[]>;

/** I7: each event reaches each of its receivers, whole: a POST that was cut off came, too. */
function lost({ expected, sends }: WebhookHistory): string[] {
  const come = new Set(sends.map(({ callId }) => callId));
  return expected.flatMap((each) => (come.has(each) ? [] : [`${each} never came`]));
}

/** I7, I10: what comes again has the same id and the same bytes, and no other event has that id. */
function strangeDuplicates({ sends }: WebhookHistory): string[] {
  const unlike = [...Map.groupBy(sends, ({ callId }) => callId)].flatMap(([callId, of]) => {
    const ids = new Set(of.map(({ webhookId }) => webhookId)).size;
    const bodies = new Set(of.map(({ digest }) => digest)).size;
    return ids === 1 && bodies === 1 ? [] : [`${callId} came with ${ids} ids, ${bodies} bodies`];
  });
  const shared = [...Map.groupBy(sends, ({ webhookId }) => webhookId)].flatMap(([id, of]) => {
    const jobs = new Set(of.map(({ callId }) => callId.split(' ')[1])).size;
    return jobs === 1 ? [] : [`${id} stands for ${jobs} jobs`];
  });
  return [...unlike, ...shared];
}

/** I10: no delivery outlives the night. */
function leftOpen({ open }: WebhookHistory): string[] {
  return open === 0 ? [] : [`${open} deliveries have not ended`];
}

/** Webhooks that came more often than once. */
export function duplicates({ sends }: WebhookHistory): number {
  return sends.length - new Set(sends.map(({ callId }) => callId)).size;
}

/** Kills that found a POST under way. */
export function usefulKills({ kills, sends }: WebhookHistory): number {
  return kills.filter((kill) => cutOff(sends, [kill], service) > 0).length;
}

/** I11: why a night shows nothing, since too little went on in it; null: it counts. */
export function thinness(history: WebhookHistory, plannedKills: number): string | null {
  const { kills } = history;
  if (kills.length < plannedKills) return `void: ${kills.length} of ${plannedKills} kills`;
  const useful = usefulKills(history);
  if (useful >= usefulKillsMin * kills.length) return null;
  return `void: only ${useful} of ${kills.length} kills found a POST under way`;
}
