import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  jest,
} from '@jest/globals';
import { httpBodyBytesMax, jsonDepthMax } from '@millrace/contracts';

import { httpOptionsFor } from './http-options.ts';
import { RawClient } from './raw-client.fixture.ts';
import { defaultKey, RunningIngest, until } from './running-ingest.fixture.ts';

jest.setTimeout(120_000);

const times = { headersMsMax: 1_000, requestMsMax: 2_000, lookEveryMs: 100 };
const mib = 1024 * 1024;
/** Of all bodies together; each may have 10 MiB. */
const bodyBytesMax = 64 * mib;
/** What the process may grow by while 2 GiB of bodies come at once. */
const growthBytesMax = 768 * mib;

let impatient: RunningIngest;
let patient: RunningIngest;
/** The one that a spec talks to. */
let ingest: RunningIngest;
const clients: RawClient[] = [];

beforeAll(async () => {
  const more = { BODY_BYTES_MAX: String(bodyBytesMax) };
  impatient = await RunningIngest.start(more, httpOptionsFor(times));
  patient = await RunningIngest.start(more);
});

beforeEach(() => {
  ingest = impatient;
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await impatient?.stop();
  await patient?.stop();
});

async function open(): Promise<RawClient> {
  const client = await RawClient.open(ingest.url);
  clients.push(client);
  return client;
}

function head(more: readonly string[] = [], key: string | null = defaultKey): string {
  return [
    'POST /v1/jobs HTTP/1.1',
    'host: millrace',
    'content-type: application/json',
    ...(key === null ? [] : [`authorization: Bearer ${key}`]),
    ...more,
    '\r\n',
  ].join('\r\n');
}

const withLength = (bytes: number): string => head([`content-length: ${bytes}`]);

async function answerOf(client: RawClient): Promise<number> {
  return until(() => Promise.resolve(client.status ?? false));
}

/** Sends a whole body, and reads the problem that it leads to. */
async function send(body: string | Buffer, contentType = 'application/json') {
  const response = await fetch(`${ingest.url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${defaultKey}`, 'content-type': contentType },
    body,
  });
  const answer: { code?: string } = JSON.parse(await response.text());
  return { status: response.status, code: answer.code };
}

async function expectOthersServed(): Promise<void> {
  const { status } = await ingest.call('POST', '/v1/jobs', { body: { prompt: 'a' } });
  expect(status).toBe(202);
}

/** As a client does it: where the machine took too long for a commit, it is asked again. */
async function takenAtLast(): Promise<void> {
  await until(async () => {
    const { body, status } = await ingest.call('POST', '/v1/jobs', { body: { prompt: 'a' } });
    // There is room for it, whatever the large ones hold.
    if (status !== 202) expect([status, body.code]).toEqual([503, 'not_durable']);
    return status === 202;
  });
}

describe('a client that takes its time', () => {
  it('over its headers is answered 408 and closed', async () => {
    const client = await open();
    void client.drip(head(), 50);
    await expectOthersServed();
    await client.closed;
    expect(client.status).toBe(408);
    expect(client.received).toContain('"code":"request_timeout"');
  });

  it('over its body is answered 408 and closed', async () => {
    const client = await open();
    client.write(withLength(1_000));
    void client.drip('{'.repeat(1_000), 50);
    await expectOthersServed();
    await client.closed;
    expect(client.status).toBe(408);
  });

  it('over a body without a length, or without a key, is closed as well', async () => {
    const chunked = await open();
    chunked.write(head(['transfer-encoding: chunked']));
    void chunked.drip('1\r\n{\r\n'.repeat(200), 20);
    const unknown = await open();
    unknown.write(head(['content-length: 1000'], null));
    expect(await answerOf(unknown)).toBe(401);
    await Promise.all([chunked.closed, unknown.closed]);
    expect(chunked.status).toBe(408);
  });

  it('and a thousand that say nothing are closed while others are served', async () => {
    const silent = await Promise.all(Array.from({ length: 1_000 }, open));
    await expectOthersServed();
    await Promise.all(silent.map(({ closed }) => closed));
    await expectOthersServed();
  });
});

describe('a body that is too large', () => {
  it('by its length is refused before it is read', async () => {
    const client = await open();
    client.write(withLength(100 * mib));
    expect(await answerOf(client)).toBe(413);
    await client.flood(Buffer.alloc(mib, ' '), 100 * mib);
    await client.closed;
    expect(client.sent).toBeLessThan(50 * mib);
  });

  it('without a length is refused where the limit is', async () => {
    const client = await open();
    client.write(head(['transfer-encoding: chunked']));
    await client.flood(`${mib.toString(16)}\r\n${' '.repeat(mib)}\r\n`, 100 * mib);
    await client.closed;
    expect(client.status).toBe(413);
    expect(client.sent).toBeLessThan(50 * mib);
  });

  it('without a key is never read', async () => {
    const client = await open();
    client.write(head(['transfer-encoding: chunked'], null));
    expect(await answerOf(client)).toBe(401);
    await client.flood(`${mib.toString(16)}\r\n${' '.repeat(mib)}\r\n`, 100 * mib);
    await client.closed;
    expect(client.sent).toBeLessThan(50 * mib);
  });

  it('or headers that are, are refused', async () => {
    const client = await open();
    client.write(head([`x-long: ${'a'.repeat(20_000)}`]));
    await client.closed;
    expect(client.status).toBe(431);
    expect(client.received).toContain('"status":431');
  });
});

describe('a body that is a trap', () => {
  const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

  it.each([
    ['deep', deep(100_000), 'invalid_request'],
    ['as deep as the limit lets it be', deep(httpBodyBytesMax / 2 - 10), 'invalid_request'],
    ['deep within a job', `{"prompt":"a","metadata":${deep(jsonDepthMax)}}`, 'invalid_request'],
    ['three million lists', `[${'[],'.repeat(3_000_000)}[]]`, 'invalid_request'],
    ['never closed', '['.repeat(httpBodyBytesMax), 'invalid_request'],
    ['a prototype', '{"prompt":"a","__proto__":{"lane":"bulk"}}', 'invalid_request'],
    ['a constructor', '{"prompt":"a","constructor":{"prototype":{}}}', 'invalid_request'],
    ['no number', '{"prompt":"a","budget":{"usd":NaN}}', 'malformed_json'],
    ['too large a number', '{"prompt":"a","budget":{"usd":1e999}}', 'invalid_request'],
    ['bad UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'malformed_json'],
    ['a byte order mark alone', Buffer.from([0xef, 0xbb, 0xbf]), 'malformed_json'],
    ['nothing', '', 'malformed_json'],
  ])('%s is refused', async (_what, body, code) => {
    expect(await send(body)).toEqual({ status: 400, code });
  });

  it('of another type is refused unread', async () => {
    for (const type of ['text/plain', 'application/xml', 'multipart/form-data; boundary=a']) {
      expect(await send('{"prompt":"a"}', type)).toEqual({
        status: 415,
        code: 'unsupported_media_type',
      });
    }
  });

  it('with a key twice is read as JSON.parse reads it: the last one counts', async () => {
    const id = 'twice';
    expect((await send(`{"job_id":"once","job_id":"${id}","prompt":"a"}`)).status).toBe(202);
    expect((await ingest.call('GET', `/v1/jobs/${id}`)).body.id).toBe(id);
  });

  it('that is no HTTP is told so', async () => {
    const client = await open();
    client.write('\u0016\u0003\u0001 hello\r\n\r\n');
    await client.closed;
    expect(client.status).toBe(400);
    await expectOthersServed();
  });
});

/** Resolves when the bodies that are under way have so much room. */
function bytesInFlight(bytes: number): Promise<true> {
  return until(async () => {
    const text = await (await fetch(`${ingest.url}/metrics`)).text();
    return text.includes(`millrace_http_body_bytes_in_flight ${bytes}\n`);
  });
}

describe('200 clients with 10 MiB each at once', () => {
  beforeEach(() => {
    ingest = patient;
  });

  it('cost bounded memory; each is answered, and an ordinary job is taken meanwhile', async () => {
    const words = 'one or two words '.repeat(httpBodyBytesMax / 17 - 10);
    const body = Buffer.from(JSON.stringify({ prompt: words }));
    const before = process.memoryUsage().rss;
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 20);
    const large = Array.from({ length: 200 }, async () => {
      const client = await open();
      client.write(withLength(body.length));
      client.write(body);
      return answerOf(client);
    });
    const ordinary = Array.from({ length: 20 }, takenAtLast);
    await Promise.all(ordinary);
    const statuses = await Promise.all(large);
    clearInterval(watch);
    const taken = statuses.filter((status) => status === 202).length;
    // On a machine that is busy elsewhere some take longer than a request may.
    const refused = statuses.filter((status) => status === 503 || status === 408).length;
    expect(refused).toBe(200 - taken);
    expect(taken).toBeGreaterThan(0);
    expect((most - before) / mib).toBeLessThan(growthBytesMax / mib);
    const metrics = await (await fetch(`${ingest.url}/metrics`)).text();
    expect(metrics).toMatch(/millrace_admission_refused_total{reason="body_bytes",via="http"} \d/);
  });

  it('leave nothing behind', async () => {
    expect(await bytesInFlight(0)).toBe(true);
  });

  it('are told when to come again', async () => {
    // Slow ones hold their room: the budget of large bodies is three quarters of it.
    const holders = await Promise.all(Array.from({ length: 4 }, open));
    for (const holder of holders) holder.write(withLength(httpBodyBytesMax));
    await bytesInFlight(holders.length * httpBodyBytesMax);
    const refused = await until(async () => {
      const client = await open();
      client.write(withLength(httpBodyBytesMax));
      const status = await Promise.race([answerOf(client), client.closed]);
      return status === 503 ? client : false;
    });
    expect(refused.received).toMatch(/\r\nretry-after: [1-5]\r\n/i);
    expect(refused.received).toContain('"code":"overloaded"');
    await expectOthersServed();
  });
});
