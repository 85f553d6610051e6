import { createHash } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { defaultKey, otherKey, RunningIngest } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const mebibyte = 1024 * 1024;
let ingest: RunningIngest;

beforeAll(async () => {
  ingest = await RunningIngest.start();
});
afterAll(() => ingest.stop());

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream;

interface UploadOptions {
  readonly path?: string;
  readonly key?: string;
  readonly cut?: AbortSignal;
}

function upload(body: Body, type: string, o: UploadOptions = {}) {
  const { cut = null, key = defaultKey, path = '/v1/documents' } = o;
  return fetch(ingest.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': type },
    body,
    signal: cut,
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  });
}

/** Comes piece by piece, and says no length. */
function streamOf(bytes: number): ReadableStream<Uint8Array> {
  let left = bytes;
  return new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      const chunk = new Uint8Array(Math.min(left, 300_000)).fill(97);
      left -= chunk.length;
      controller.enqueue(chunk);
    },
  });
}

/** Comes until it is told to end. */
function endlessStream() {
  let end = () => undefined as void;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new Uint8Array(2 * mebibyte).fill(97));
      end = () => controller.close();
    },
  });
  return { stream, end: () => end() };
}

async function piecesKept(): Promise<number> {
  const { rows } = await ingest.admin.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM blobs.chunks WHERE id LIKE 'blob\\_doc\\_%'",
  );
  return rows[0]?.count ?? 0;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function storedBytes(id: string): Promise<Buffer> {
  const { rows } = await ingest.admin.query<{ bytes: Buffer }>(
    `SELECT string_agg(bytes, ''::bytea ORDER BY split_part(id, '.', 2)::int) AS bytes
     FROM blobs.chunks WHERE tenant = 'default' AND id ~ $1`,
    [`^blob_${id}\\.\\d+$`],
  );
  return rows[0]?.bytes ?? Buffer.alloc(0);
}

describe('documents', () => {
  it('are taken in, shown, listed and deleted', async () => {
    const text = '# Title\n\nText.';
    const response = await upload(text, 'text/markdown; charset=utf-8', {
      path: '/v1/documents?name=a.md',
    });
    expect(response.status).toBe(201);
    const document = JSON.parse(await response.text());
    expect(response.headers.get('location')).toBe(`/v1/documents/${document.id}`);
    expect(document).toMatchObject({
      name: 'a.md',
      content_type: 'text/markdown',
      bytes: text.length,
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    expect((await ingest.call('GET', `/v1/documents/${document.id}`)).body).toEqual(document);
    expect((await ingest.call('GET', '/v1/documents')).body.data).toContainEqual(document);
    expect((await storedBytes(document.id)).toString()).toBe(text);
    const remove = () => ingest.call('DELETE', `/v1/documents/${document.id}`);
    expect((await remove()).status).toBe(204);
    expect((await remove()).status).toBe(404);
    expect((await ingest.call('GET', `/v1/documents/${document.id}`)).status).toBe(404);
  });

  it('of another tenant are not there', async () => {
    const document = JSON.parse(await (await upload('Text.', 'text/plain')).text());
    const path = `/v1/documents/${document.id}`;
    expect((await ingest.call('GET', path, { asOther: true })).status).toBe(404);
    expect((await ingest.call('DELETE', path, { asOther: true })).status).toBe(404);
    expect((await ingest.call('GET', '/v1/documents', { asOther: true })).body.data).toEqual([]);
    expect((await ingest.call('GET', path)).status).toBe(200);
  });

  it('may be large, and say no length', async () => {
    const response = await upload(streamOf(12 * mebibyte + 5), 'application/pdf');
    expect(response.status).toBe(201);
    const document = JSON.parse(await response.text());
    expect(document.bytes).toBe(12 * mebibyte + 5);
    const stored = await storedBytes(document.id);
    expect(createHash('sha256').update(stored).digest('hex')).toBe(document.sha256);
  });

  const tooLong = `${32 * mebibyte} bytes`;
  const types = 'a document is one of text/plain,';

  it.each([
    ['a length too much', () => new Uint8Array(32 * mebibyte + 1), 'text/plain', 413, tooLong],
    ['more than the limit, unsaid', () => streamOf(33 * mebibyte), 'text/plain', 413, tooLong],
    ['nothing', () => '', 'text/plain', 400, 'empty'],
    ['another type', () => 'PK', 'application/zip', 415, types],
    ['JSON', () => '{}', 'application/json', 415, types],
    ['what is no JSON either', () => '# Mill', 'application/json', 415, types],
  ])('of %s are refused', async (_, body, type, status, detail) => {
    const before = await piecesKept();
    const response = await upload(body(), type);
    expect(response.status).toBe(status);
    expect(JSON.parse(await response.text())).toMatchObject({
      code: expect.any(String),
      detail: expect.stringContaining(detail),
    });
    expect(await piecesKept()).toBe(before);
  });

  it('of which the end never comes leave nothing behind', async () => {
    const before = await piecesKept();
    const cut = new AbortController();
    const sent = upload(endlessStream().stream, 'text/plain', { cut: cut.signal });
    await until(async () => (await piecesKept()) > before);
    cut.abort();
    await expect(sent).rejects.toThrow();
    await until(async () => (await piecesKept()) === before);
  });

  it('of one tenant are four at once, and leave room for others', async () => {
    const streams = Array.from({ length: 4 }, endlessStream);
    const before = await piecesKept();
    const sent = streams.map(({ stream }) => upload(stream, 'text/plain'));
    await until(async () => (await piecesKept()) >= before + 8);
    const fifth = await upload('Text.', 'text/plain');
    expect(fifth.status).toBe(429);
    expect(fifth.headers.get('retry-after')).toBe('5');
    expect((await upload('Text.', 'text/plain', { key: otherKey })).status).toBe(201);
    for (const { end } of streams) end();
    const statuses = (await Promise.all(sent)).map(({ status }) => status);
    expect(statuses).toEqual([201, 201, 201, 201]);
    expect((await upload('Text.', 'text/plain')).status).toBe(201);
  });

  it('beyond a thousand are refused before they are read', async () => {
    await ingest.admin.query(
      `INSERT INTO ingest.documents
         (tenant, id, content_type, bytes, sha256, pieces, expires_at)
       SELECT 'default', 'doc_full_' || n, 'text/plain', 1, '', 1, now() + interval '1 day'
       FROM generate_series(1, 1000) AS n`,
    );
    const before = await piecesKept();
    const response = await upload(streamOf(3 * mebibyte), 'text/plain');
    expect(response.status).toBe(409);
    expect(JSON.parse(await response.text())).toMatchObject({ code: 'limit_reached' });
    expect(await piecesKept()).toBe(before);
    await ingest.admin.query("DELETE FROM ingest.documents WHERE id LIKE 'doc_full_%'");
  });

  it('are a body that no other route takes', async () => {
    const response = await upload('Text.', 'text/plain', { path: '/v1/jobs' });
    expect(response.status).toBe(415);
  });
});
