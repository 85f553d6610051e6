import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { timelineSchema, type Timeline } from '@millrace/contracts';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import { ended, request, stack, submit, uniqueId, until } from './running-stack.ts';

describe('the timeline of a job', () => {
  let receiver: WebhookReceiver;
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    receiver.answer = (_path, count) => (count === 1 ? 500 : 200);
  });
  afterAll(() => receiver.close());

  it('shows each attempt and webhook in order, while it runs and when it is over', async () => {
    const mark = uniqueId('timeline');
    const { id } = await submit({
      prompt: `Fail twice. ${mark} [[fault:500 times=2]]`,
      callback_url: receiver.url(`/${mark}`),
    });
    const underWay = await timelineWhen(id, (kinds) => kinds.includes('attempt'));
    expect(kindsOf(underWay).slice(0, 3)).toEqual(['accepted', 'released', 'attempt']);
    expect(underWay.events[2]).toMatchObject({ attempt: { number: 1, http_status: 500 } });

    const job = await ended(id);
    const over = await timelineWhen(id, (kinds) => count(kinds, 'delivery_attempt') === 2);
    expect(over).toMatchObject({
      job_id: id,
      status: 'succeeded',
      trace_id: job.trace_id,
      truncated: false,
      incomplete: [],
    });
    // Whether a loaded machine also took a second over an attempt is another story.
    expect(kindsOf(over).filter((kind) => kind !== 'running')).toEqual([
      'accepted',
      'released',
      'attempt',
      'attempt',
      'attempt',
      'ended',
      'delivery_attempt',
      'delivery_attempt',
    ]);
    expect(over.events.filter(({ kind }) => kind === 'attempt')).toMatchObject([
      { attempt: { number: 1, outcome: 'failed', http_status: 500 } },
      { attempt: { number: 2, outcome: 'failed', http_status: 500 } },
      { attempt: { number: 3, outcome: 'succeeded', http_status: 200 } },
    ]);
    expect(over.events.filter(({ kind }) => kind === 'delivery_attempt')).toMatchObject([
      { attempt: { number: 1, outcome: 'retry', class: 'server_error', http_status: 500 } },
      { attempt: { number: 2, outcome: 'delivered', http_status: 200 } },
    ]);
    const end = over.events.find(({ kind }) => kind === 'ended');
    const usage = { output_tokens: expect.any(Number) };
    expect(end).toMatchObject({ status: 'succeeded', usage });
    const times = over.events.map(({ at }) => Date.parse(at));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  it('is the same at every replica', async () => {
    const { id } = await submit({ prompt: 'Be quick.' });
    await ended(id);
    const shown = await Promise.all(
      stack.apiUrls.map(async (url) => {
        const headers = { authorization: `Bearer ${stack.apiKey}` };
        const response = await fetch(`${url}/v1/jobs/${id}/timeline`, { headers });
        return timelineSchema.parse(JSON.parse(await response.text()));
      }),
    );
    for (const timeline of shown) expect(timeline).toEqual(shown[0]);
  });

  it('is not there for a job that never was', async () => {
    const response = await request(`/v1/jobs/${uniqueId('none')}/timeline`);
    expect(response.status).toBe(404);
  });
});

const kindsOf = ({ events }: Timeline): string[] => events.map(({ kind }) => kind);
const count = (kinds: readonly string[], wanted: string): number =>
  kinds.filter((kind) => kind === wanted).length;

function timelineWhen(id: string, holds: (kinds: string[]) => boolean): Promise<Timeline> {
  return until(`the timeline of ${id}`, 30_000, async () => {
    const response = await request(`/v1/jobs/${id}/timeline`);
    const timeline = timelineSchema.parse(JSON.parse(await response.text()));
    return holds(kindsOf(timeline)) && timeline;
  });
}
