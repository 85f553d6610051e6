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

const cli = new TypedLine();
const folder = mkdtempSync(join(tmpdir(), 'millrace-cli-'));
const notes = join(folder, 'notes.md');
const nameless = join(folder, 'notes');

beforeAll(async () => {
  writeFileSync(notes, '# Notes');
  writeFileSync(nameless, 'Notes');
  await cli.open();
});
beforeEach(() => cli.answers(document));
afterAll(() => {
  cli.close();
  rmSync(folder, { recursive: true });
});

describe('commands for documents', () => {
  it.each([
    [[notes], '?name=notes.md', 'text/markdown', '# Notes'],
    [[notes, '--name', 'mine'], '?name=mine', 'text/markdown', '# Notes'],
    [[nameless, '--type', 'text/plain'], '?name=notes', 'text/plain', 'Notes'],
  ])('upload a file as it is: %j', async (words, query, type, text) => {
    const { out, status } = await cli.typed(['documents', 'upload', ...words]);
    expect([status, out]).toEqual([0, expect.stringContaining(id)]);
    expect(cli.asked).toMatchObject([{ route: `POST /v1/documents${query}`, type, body: text }]);
  });

  it.each([
    ['that is not there', [join(folder, 'gone.md')], 'cannot be read'],
    ['that is a folder', [folder, '--type', 'text/plain'], 'cannot be read'],
    ['of no known type', [nameless], 'say --type'],
    ['of a type that is not taken', [nameless, '--type', 'image/png'], '--type: must be one of'],
  ])('send no file %s', async (_what, words, why) => {
    const { error, status } = await cli.typed(['documents', 'upload', ...words]);
    expect([status, error]).toEqual([2, expect.stringContaining(why)]);
    expect(cli.asked).toEqual([]);
  });

  it('send no file that is larger than a document', async () => {
    const large = join(folder, 'large.pdf');
    writeFileSync(large, '');
    truncateSync(large, documentBytesMax + 1);
    const { error, status } = await cli.typed(['documents', 'upload', large]);
    expect([status, error]).toEqual([2, expect.stringContaining(String(documentBytesMax))]);
    expect(cli.asked).toEqual([]);
  });

  it('list them, and show one', async () => {
    cli.answers({ data: [document], next_cursor: 'abc' });
    const { out } = await cli.typed('documents list');
    expect(out).toMatch(/^ID +NAME/);
    expect(out).toContain('More: millrace documents list --cursor abc');
    cli.answers(document);
    expect((await cli.typed(`documents get ${id}`)).out).toMatch(/expires +2030-02-02/);
    expect(cli.routes).toEqual([`GET /v1/documents/${id}`]);
  });

  it('delete one, though nothing is answered', async () => {
    cli.answers();
    expect((await cli.typed(`documents delete ${id}`)).status).toBe(0);
    expect(cli.routes).toEqual([`DELETE /v1/documents/${id}`]);
  });
});
