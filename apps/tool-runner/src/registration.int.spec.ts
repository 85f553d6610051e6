import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { RunningToolRunner } from './running-tool-runner.fixture.ts';

jest.setTimeout(60_000);

const url = 'https://tools.example/one';
const sample = {
  description: 'one',
  input_schema: { type: 'object', properties: { a: { type: 'string', pattern: '^a+$' } } },
  target: { kind: 'http', url, headers: { authorization: 'Bearer secret' } },
};

let runner: RunningToolRunner;

beforeAll(async () => {
  runner = await RunningToolRunner.start();
});
afterAll(async () => {
  await runner?.stop();
});

describe('a tool', () => {
  it('is there as it was put, without its secrets', async () => {
    const put = await runner.ask('PUT', '/one', { body: sample });
    expect(put.statusCode).toBe(200);
    const got = await runner.ask('GET', '/one');
    expect(got.json()).toEqual(put.json());
    expect(got.json()).toMatchObject({
      name: 'one',
      version: 1,
      effect: 'write',
      retries: 2,
      target: { kind: 'http', url, headers: { authorization: '[redacted]' } },
    });
    expect(got.body).not.toContain('Bearer secret');
  });

  it('has a new version when it changes, and none when it does not', async () => {
    await runner.ask('PUT', '/changing', { body: sample });
    const { description, ...rest } = sample;
    const same = await runner.ask('PUT', '/changing', { body: { ...rest, description } });
    expect(same.json()).toMatchObject({ version: 1 });
    const other = await runner.ask('PUT', '/changing', { body: { ...sample, retries: 0 } });
    expect(other.json()).toMatchObject({ version: 2, retries: 0 });
  });

  it('is one, however many put it at once', async () => {
    const puts = await Promise.all(
      Array.from({ length: 8 }, () => runner.ask('PUT', '/at-once', { body: sample })),
    );
    expect(new Set(puts.map((put) => put.json<{ version: number }>().version))).toEqual(
      new Set([1]),
    );
  });

  it('is gone when it was deleted, and there again when it is put', async () => {
    await runner.ask('PUT', '/gone', { body: sample });
    expect((await runner.ask('DELETE', '/gone')).statusCode).toBe(204);
    expect((await runner.ask('DELETE', '/gone')).statusCode).toBe(404);
    expect((await runner.ask('GET', '/gone')).json()).toMatchObject({ code: 'not_found' });
    const again = await runner.ask('PUT', '/gone', { body: { ...sample, description: 'two' } });
    expect(again.json()).toMatchObject({ version: 2 });
  });

  it('belongs to its tenant alone', async () => {
    await runner.ask('PUT', '/own', { body: sample, tenant: 'acme' });
    expect((await runner.ask('GET', '/own')).statusCode).toBe(404);
    const list = await runner.ask('GET', '', { tenant: 'acme' });
    expect(list.json()).toMatchObject({ data: [{ name: 'own' }], next_cursor: null });
  });

  it('is listed by its name, a page at a time', async () => {
    for (const name of ['c', 'a', 'b']) {
      await runner.ask('PUT', `/${name}`, { body: sample, tenant: 'pages' });
    }
    const first = await runner.ask('GET', '?limit=2', { tenant: 'pages' });
    const { data, next_cursor } = first.json<{ data: { name: string }[]; next_cursor: string }>();
    expect(data.map(({ name }) => name)).toEqual(['a', 'b']);
    const second = await runner.ask('GET', `?limit=2&cursor=${next_cursor}`, { tenant: 'pages' });
    expect(second.json()).toMatchObject({ data: [{ name: 'c' }], next_cursor: null });
    expect((await runner.ask('GET', '?limit=0')).statusCode).toBe(400);
  });

  it('is shown to nobody without the key', async () => {
    const answer = await runner.ask('GET', '/one', { key: 'another' });
    expect(answer.statusCode).toBe(401);
    expect(answer.json()).toMatchObject({ code: 'unauthorized' });
  });
});

/** A schema that deep. */
function nested(levels: number): object {
  return levels === 0 ? {} : { type: 'object', properties: { a: nested(levels - 1) } };
}

describe('what is refused', () => {
  it.each([
    ['a name with __', 'a__b', sample, 'name'],
    ['a name that runs have for a tool of their own', 'final_answer', sample, 'name'],
    ['a name that ends in _', 'a_', sample, 'name'],
    ['an unknown field', 'a', { ...sample, more: 1 }, ''],
    ['no schema', 'a', { ...sample, input_schema: undefined }, 'input_schema'],
    ['a private address', 'a', withUrl('https://10.0.0.1/'), 'target.url'],
    ['plain http', 'a', withUrl('http://tools.example/'), 'target.url'],
    ['a URL with a user', 'a', withUrl('https://a:b@tools.example/'), 'target.url'],
    ['a header of ours', 'a', withHeader('Webhook-Id', 'x'), 'target.headers.Webhook-Id'],
    ['a header with a line end', 'a', withHeader('X-A', 'a\r\nb: c'), 'target.headers.X-A'],
    ['a header as it is shown', 'a', withHeader('X-A', '[redacted]'), 'target.headers.X-A'],
    ['no JSON Schema', 'a', withSchema({ properties: 5 }), 'input_schema'],
    ['a pattern that is none', 'a', withSchema({ pattern: '(' }), 'input_schema'],
    ['a foreign $ref', 'a', withSchema({ $ref: 'https://x.example/' }), 'input_schema'],
    ['an unknown dialect', 'a', withSchema({ $schema: 'https://x.example/' }), 'input_schema'],
    ['a long schema', 'a', withSchema({ description: 'a'.repeat(70_000) }), 'input_schema'],
    ['a deep schema', 'a', withSchema(nested(40)), ''],
  ])('%s', async (_, name, body, path) => {
    const answer = await runner.ask('PUT', `/${name}`, { body });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({
      code: 'invalid_request',
      errors: expect.arrayContaining([{ path, message: expect.any(String) }]),
    });
  });

  it('is more tools than a tenant may have', async () => {
    for (let i = 0; i < 500; i += 25) {
      await Promise.all(
        Array.from({ length: 25 }, (_, j) =>
          runner.ask('PUT', `/n${i + j}`, { body: sample, tenant: 'full' }),
        ),
      );
    }
    const answer = await runner.ask('PUT', '/one-more', { body: sample, tenant: 'full' });
    expect(answer.statusCode).toBe(409);
    expect(answer.json()).toMatchObject({ code: 'limit_reached' });
    const changed = { ...sample, retries: 1 };
    const known = await runner.ask('PUT', '/n0', { body: changed, tenant: 'full' });
    expect(known.json()).toMatchObject({ version: 2 });
  });
});

function withUrl(address: string): object {
  return { ...sample, target: { kind: 'http', url: address } };
}

function withHeader(name: string, value: string): object {
  return { ...sample, target: { kind: 'http', url, headers: { [name]: value } } };
}

function withSchema(fields: object): object {
  return { ...sample, input_schema: { type: 'object', ...fields } };
}
