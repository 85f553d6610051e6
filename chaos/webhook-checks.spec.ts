import { describe, expect, it } from '@jest/globals';

import type { Kill } from './agent-history.ts';
import {
  duplicates,
  thinness,
  usefulKills,
  webhookChecks,
  type WebhookHistory,
  type WebhookSend,
} from './webhook-checks.ts';

function send(callId: string, more: Partial<WebhookSend> = {}): WebhookSend {
  const times = { receivedAtMs: 1_000, answeredAtMs: 1_500, connectionEndedAtMs: null };
  return { callId, webhookId: 'msg_1', digest: 'd1', ...times, ...more };
}

const kill = (atMs: number): Kill => ({
  service: 'webhook-dispatcher',
  name: 'webhook-dispatcher-1',
  atMs,
});
const cutOffAt = (atMs: number) => ({ answeredAtMs: null, connectionEndedAtMs: atMs + 20 });

/** One job with two receivers, of which a kill made one hear it twice. */
const whole: WebhookHistory = {
  expected: ['/endpoint job-1', '/callback job-1'],
  kills: [kill(1_200)],
  sends: [
    send('/endpoint job-1', cutOffAt(1_200)),
    send('/endpoint job-1', { receivedAtMs: 9_000, answeredAtMs: 9_100 }),
    send('/callback job-1', { digest: 'd2' }),
  ],
  open: 0,
};
const [first, again, callback] = whole.sends as [WebhookSend, WebhookSend, WebhookSend];

/** What each bug would leave behind, and who has to see it. */
const bugs: [name: string, check: keyof typeof webhookChecks, of: Partial<WebhookHistory>][] = [
  ['a webhook that never comes', 'lost', { sends: [first, again] }],
  [
    'another id for the second time',
    'strange-duplicates',
    { sends: [first, { ...again, webhookId: 'msg_2' }, callback] },
  ],
  [
    'another body for the second time',
    'strange-duplicates',
    { sends: [first, { ...again, digest: 'd3' }, callback] },
  ],
  [
    'one id for two jobs',
    'strange-duplicates',
    { sends: [...whole.sends, send('/endpoint job-2')] },
  ],
  ['a delivery that nobody ends', 'left-open', { open: 1 }],
];

describe('the checks of a night of webhooks', () => {
  it('find nothing when all is well', () => {
    for (const check of Object.values(webhookChecks)) expect(check(whole)).toEqual([]);
    expect(thinness(whole, 1)).toBeNull();
    expect([duplicates(whole), usefulKills(whole)]).toEqual([1, 1]);
  });

  it.each(bugs)('see %s', (_, name, of) => {
    const found = Object.entries(webhookChecks).filter(
      ([, check]) => check({ ...whole, ...of }).length > 0,
    );
    expect(found.map(([each]) => each)).toEqual([name]);
  });

  it('say that a night is void in which too little was killed, or too little went on', () => {
    expect(thinness(whole, 2)).toContain('1 of 2 kills');
    expect(thinness({ ...whole, kills: [kill(1_200), kill(5_000), kill(6_000)] }, 3)).toContain(
      'only 1 of 3 kills',
    );
  });
});
