import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const to = '2030-01-02T05:04:05.000Z';
const redrive = { dead_letter_id: 'dl_1', redrive_count: 1, redriven_at: to };
const done = { id: 'dl_1', status: 202, redrive };
const refused = { id: 'dl_2', status: 400, error: { code: 'invalid_request', detail: 'not text' } };
const letter = {
  ...{ id: 'dl_1', topic: 'jobs.submitted.v1', partition: 0, offset: '1', at: to },
  ...{ code: 'malformed_json', detail: '', service: 'ingest', redrive_count: 0 },
};

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());
beforeEach(() => cli.answers());

describe('dead-letters redrive --all', () => {
  it('asks until none is left, ends where it began, and tells what was refused', async () => {
    cli.answers(
      { results: [done], more: true, next_cursor: 'abc', to },
      { results: [refused], more: false, next_cursor: null, to },
    );
    const { error, out, status } = await cli.typed('dead-letters redrive --all --topic a --code b');
    expect(status).toBe(0);
    expect(error).toBe('1 redriven, 0 refused\n');
    expect(out).toMatch(/^1 redriven, 1 refused\n\nID[^]*dl_2 +invalid_request +not text/);
    expect(cli.routes).toEqual(
      cli.asked.map(() => 'POST /v1/dead-letters:redrive'),
    );
    expect(cli.bodies).toEqual([
      { topic: 'a', code: 'b', limit: 200 },
      { topic: 'a', code: 'b', limit: 200, cursor: 'abc', to },
    ]);
  });

  it('with --dry-run only counts, by topic and reason', async () => {
    cli.answers(
      { data: [letter, letter], next_cursor: 'abc' },
      { data: [letter], next_cursor: null },
    );
    const { out } = await cli.typed('dead-letters redrive --all --dry-run --operator');
    expect(out).toMatch(/jobs\.submitted\.v1 +malformed_json +3/);
    expect(cli.routes).toEqual([
      'GET /v1/dead-letters?redriven=false&limit=100',
      'GET /v1/dead-letters?redriven=false&cursor=abc&limit=100',
    ]);
    expect(cli.asked.every(({ by }) => by === 'Bearer operator')).toBe(true);
  });
});
