import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { documentBytesMax } from '@millrace/contracts';

import { TypedLine } from './typed-line.fixture.ts';

const id = `doc_${'0'.repeat(26)}`;
const document = {
  id,
  name: 'notes.md',
  content_type: 'text/markdown',
  bytes: 7,
  sha256: 'a'.repeat(64),
  created_at: '2030-01-02T03:04:05.678Z',
  expires_at: '2030-02-02T03:04:05.678Z',
};

const line = new TypedLine();
const folder = mkdtempSync(join(tmpdir(), 'millrace-cli-'));
const notes = join(folder, 'notes.md');
const nameless = join(folder, 'notes');

beforeAll(async () => {
  writeFileSync(notes, '# Notes');
  writeFileSync(nameless, 'Notes');
  await line.open();
});
beforeEach(() => {
  line.asked = null;
});
afterAll(() => {
  line.close();
  rmSync(folder, { recursive: true });
});

describe('commands for documents', () => {
  it.each([
    [[notes], '?name=notes.md', 'text/markdown', '# Notes'],
    [[notes, '--name', 'mine'], '?name=mine', 'text/markdown', '# Notes'],
    [[nameless, '--type', 'text/plain'], '?name=notes', 'text/plain', 'Notes'],
  ])('upload a file as it is: %j', async (words, query, type, text) => {
    line.answer = { status: 201, body: document };
    const { out, status } = await line.typed('documents', 'upload', ...words);
    expect([status, out]).toEqual([0, expect.stringContaining(id)]);
    expect(line.asked).toEqual({ method: 'POST', url: `/v1/documents${query}`, type, text });
  });

  it.each([
    ['that is not there', [join(folder, 'gone.md')], 'cannot be read'],
    ['that is a folder', [folder, '--type', 'text/plain'], 'cannot be read'],
    ['of no known type', [nameless], 'say --type'],
    ['of a type that is not taken', [nameless, '--type', 'image/png'], '--type: must be one of'],
  ])('send no file %s', async (_what, words, why) => {
    const { error, status } = await line.typed('documents', 'upload', ...words);
    expect([status, error]).toEqual([2, expect.stringContaining(why)]);
    expect(line.asked).toBeNull();
  });

  it('send no file that is larger than a document', async () => {
    const large = join(folder, 'large.pdf');
    writeFileSync(large, '');
    truncateSync(large, documentBytesMax + 1);
    const { error, status } = await line.typed('documents', 'upload', large);
    expect([status, error]).toEqual([2, expect.stringContaining(String(documentBytesMax))]);
    expect(line.asked).toBeNull();
  });

  it('list them, and show one', async () => {
    line.answer = { status: 200, body: { data: [document], next_cursor: 'abc' } };
    const { out } = await line.typed('documents', 'list');
    expect(out).toMatch(/^ID +NAME/);
    expect(out).toContain('More: millrace documents list --cursor abc');
    line.answer = { status: 200, body: document };
    expect((await line.typed('documents', 'get', id)).out).toMatch(/expires +2030-02-02/);
    expect(line.asked).toMatchObject({ method: 'GET', url: `/v1/documents/${id}` });
  });

  it('delete one, though nothing is answered', async () => {
    line.answer = { status: 204 };
    expect((await line.typed('documents', 'delete', id)).status).toBe(0);
    expect(line.asked).toMatchObject({ method: 'DELETE', url: `/v1/documents/${id}` });
  });
});
