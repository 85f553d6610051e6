import { createServer, type Server } from 'node:http';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { documentManifestRef, documentPieceRef } from '@millrace/contracts';
import { Blobs, createPool, type Pool } from '@millrace/postgres';
import { pdf, zipBomb } from '@millrace/testing';

import { unreached } from './document-splits.ts';
import { RunningToolRunner } from './running-tool-runner.fixture.ts';

jest.setTimeout(90_000);

const ttlSeconds = 3_600;
const asked = { prompt: 'Summarise it.', model: 'claude-sonnet-5-5', chunk_tokens: 300 };
const text = Array.from({ length: 60 }, (_, n) => `Paragraph ${n} says something.`).join('\n\n');

let runner: RunningToolRunner;
let pool: Pool;
let blobs: Blobs;
let server: Server;

beforeAll(async () => {
  runner = await RunningToolRunner.start();
  pool = createPool({ url: runner.database.adminUrl, max: 2, applicationName: 'spec' });
  blobs = new Blobs(pool);
  server = createServer((request, response) => {
    const { url } = request;
    switch (url) {
      case '/page':
        return void response.setHeader('content-type', 'text/html').end('<p>Hi</p>');
      case '/zip':
        return void response.setHeader('content-type', 'application/zip').end('PK');
      case '/bomb':
        return void response.setHeader('content-type', 'application/pdf').end(bomb);
      case '/endless':
        return void response.end(Buffer.alloc(33 * 1024 * 1024, 97));
      case '/moved':
        return void response.writeHead(302, { location: '/page' }).end();
      default:
        return void response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await runner?.stop();
  await pool?.end();
  server?.close();
});

const bomb = zipBomb();
const lockedPdf = pdf({ pages: ['x'], encrypted: true });

const from = (path: string) => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not listening');
  return { ...asked, document: { url: `http://127.0.0.1:${address.port}${path}` } };
};

/** As ingest keeps an upload, in smaller pieces. */
async function uploaded(bytes: Buffer, contentType: string): Promise<object> {
  const id = `doc_${crypto.randomUUID().replaceAll('-', '').toUpperCase().slice(0, 26)}`;
  const pieces = Math.ceil(bytes.length / 1_000);
  for (let index = 0; index < pieces; index += 1) {
    const piece = bytes.subarray(index * 1_000, (index + 1) * 1_000);
    await blobs.put('default', documentPieceRef(id, index), { bytes: piece, ttlSeconds });
  }
  const manifest = { content_type: contentType, bytes: bytes.length, sha256: '', pieces };
  const json = Buffer.from(JSON.stringify(manifest));
  await blobs.put('default', documentManifestRef(id), { bytes: json, ttlSeconds });
  return { ...asked, document: { id } };
}

const partOf = async (ref: string | undefined, index: number) =>
  JSON.parse(String(await blobs.get('default', `${ref}.${index}`)));

describe('a document that is split', () => {
  it('becomes the parameters of one call for each part', async () => {
    const split = await runner.split('book/t0', await uploaded(Buffer.from(text), 'text/plain'));
    const { parts, parts_ref: ref } = split;
    expect(parts?.length).toBeGreaterThan(2);
    const calls = await Promise.all(parts?.map((_, index) => partOf(ref, index)) ?? []);
    expect(calls[0]).toMatchObject({ model: asked.model, max_tokens: 1_024 });
    const contents = calls.map(({ messages }) => String(messages[0].content));
    expect(contents[0]).toContain(`Part 1 of ${parts?.length}`);
    for (let n = 0; n < 60; n += 1) {
      expect(contents.some((content) => content.includes(`Paragraph ${n} says`))).toBe(true);
    }
  });

  it('may be a PDF, or a page at an address', async () => {
    const pages = await runner.split(
      'pdf/t0',
      await uploaded(pdf({ pages: ['From a PDF'] }), 'application/pdf'),
    );
    expect((await partOf(pages.parts_ref, 0)).messages[0].content).toContain('From a PDF');
    const page = await runner.split('page/t0', from('/page'));
    expect((await partOf(page.parts_ref, 0)).messages[0].content).toContain('\nHi\n');
  });

  it.each([
    ['is encrypted', () => uploaded(lockedPdf, ''), 'encrypted_document'],
    ['has no text', () => uploaded(pdf({ pages: [''] }), ''), 'empty_document'],
    ['is empty', () => uploaded(Buffer.from(' '), 'text/plain'), 'empty_document'],
    ['is nothing that is read', () => from('/zip'), 'unreadable_document'],
    ['is above the limit', () => from('/endless'), 'document_too_large'],
    ['has moved', () => from('/moved'), 'tool_failed'],
    ['is not there', () => ({ ...asked, document: { id: 'doc_NONE' } }), 'not_found'],
    [
      'lies where nobody may look',
      () => ({ ...asked, document: { url: 'http://169.254.169.254/latest' } }),
      'blocked_address',
    ],
  ])('and %s says so', async (name, params, code) => {
    const split = await runner.split(`${name.replaceAll(' ', '-')}/t0`, await params());
    expect(split).toMatchObject({ error: { code } });
    expect(split.parts).toBeUndefined();
  });

  it('and cannot be fetched says whose fault it is', async () => {
    const detailOf = async (name: string, params: object) =>
      (await runner.split(`${name}/t0`, params)).error?.detail;
    const moved = 'the server of the document answered with 302';
    expect(await detailOf('whose-moved', from('/moved'))).toBe(moved);
    const unsafe = { ...asked, document: { url: 'http://10.0.0.1/' } };
    const refused = 'the address of the document is not allowed (private)';
    expect(await detailOf('whose-private', unsafe)).toBe(refused);
    expect(unreached('refused').failure).toEqual({
      code: 'tool_failed',
      detail: 'the server of the document could not be reached (refused)',
    });
    expect(unreached('timeout').failure).toEqual({
      code: 'tool_timeout',
      detail: 'the server of the document did not answer within 60 s',
    });
  });

  it('and is a zip bomb says so, and the next one is read', async () => {
    const split = await runner.split('bomb/t0', from('/bomb'));
    expect(split).toMatchObject({ error: { code: 'document_too_large' } });
    const page = await runner.split('after-bomb/t0', from('/page'));
    expect(page.parts).toHaveLength(1);
  }, 150_000);
});
