import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const running = {
  id: `rdl_${'0'.repeat(32)}`,
  state: 'running',
  since: '2030-01-02T03:04:05.000Z',
  until: '2030-01-02T05:04:05.000Z',
  published: 0,
  created_at: '2030-01-02T05:04:05.000Z',
};
const done = {
  ...running,
  state: 'done',
  published: 7,
  finished_at: '2030-01-02T05:04:07.000Z',
};

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());
beforeEach(() => cli.answers());

describe('redeliver', () => {
  it('asks once for the ends since a time ago, and says where to look', async () => {
    cli.answers(running);
    const before = Date.now();
    const { out, status } = await cli.typed('redeliver --since 2h');
    expect(status).toBe(0);
    expect(cli.routes).toEqual(['POST /v1/redeliveries']);
    const { since } = JSON.parse(cli.asked[0]?.body ?? '');
    const agoMs = before - Date.parse(since);
    expect(Math.abs(agoMs - 2 * 3_600_000)).toBeLessThan(10_000);
    expect(out).toContain(`See: millrace redeliveries get ${running.id}`);
  });

  it('that waits tells how far it is until it is done', async () => {
    cli.answers(running, { ...running, published: 3 }, done);
    const since = '2030-01-02T03:04:05Z';
    const line = `redeliver --since ${since} --until 2030-01-02T05:04:05Z --wait --json`;
    const { error, out, status } = await cli.typed(line);
    expect(status).toBe(0);
    expect(JSON.parse(cli.asked[0]?.body ?? '')).toEqual({ since, until: '2030-01-02T05:04:05Z' });
    expect(error).toBe(`${running.id} runs\n3 published\n7 published\n`);
    expect(JSON.parse(out)).toEqual(done);
  });

  it.each(['redeliver', 'redeliver --since long-ago'])('typed as %p asks nothing', async (line) => {
    const { error, status } = await cli.typed(line);
    expect(status).toBe(2);
    expect(error).toContain('--since: must be');
    expect(cli.asked).toEqual([]);
  });
});

describe('redeliveries', () => {
  it('are listed and shown', async () => {
    cli.answers({ data: [running, done], next_cursor: null });
    expect((await cli.typed('redeliveries list')).out).toMatch(/^ID +STATE +SINCE +UNTIL +PUBLISHED\n/);
    cli.answers(done);
    expect((await cli.typed(`redeliveries get ${done.id}`)).out).toMatch(/published +7\n/);
  });
});
