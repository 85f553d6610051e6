import { createServer, type Server } from 'node:http';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { pdf } from '@millrace/testing';

import { callsOf, startDocument, upload } from './document-runs.ts';
import { ended, request, submit, until } from './running-stack.ts';

jest.setTimeout(120_000);

const paragraphs = Array.from(
  { length: 120 },
  (_, n) => `Paragraph number ${n} of this report speaks about turbines and rivers.`,
);
const report = `# The report\n\n${paragraphs.join('\n\n')}\n`;

let server: Server;
const address = () => {
  const at = server.address();
  if (at === null || typeof at === 'string') throw new TypeError('not listening');
  return `http://127.0.0.1:${at.port}`;
};

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/hangs') return;
    response.setHeader('content-type', 'text/html').end(`<h1>Page</h1><p>${report}</p>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe('a document', () => {
  it('is answered part by part, and the answers are joined', async () => {
    const document = await upload(report, 'text/markdown');
    expect(document.status).toBe(201);
    const chunks = { chunk_tokens: 700, overlap_tokens: 50 };
    const started = await startDocument(document.body.id, { prompt: 'Summarise it.', ...chunks });
    const done = await ended(started.job.id);
    expect(done).toMatchObject({ status: 'succeeded', stand_in: true });
    expect(done.result).toContain('stand-in');
    const calls = await callsOf(started);
    const parts = calls.filter(({ part }) => part !== null);
    expect(parts.length).toBeGreaterThan(3);
    // Each part once, and one call that joins them.
    expect(calls).toHaveLength(parts.length + 1);
    for (const paragraph of paragraphs) {
      expect(parts.some(({ text }) => text.includes(paragraph))).toBe(true);
    }
  });

  it('may be a PDF that is uploaded: its pages are read, and answered', async () => {
    const pages = ['spring', 'autumn'].map((season) => `The ${season} flood of the river Wey.`);
    const document = await upload(new Uint8Array(pdf({ pages })), 'application/pdf');
    expect(document.status).toBe(201);
    const started = await startDocument(document.body.id, { prompt: 'Which floods are told of?' });
    const done = await ended(started.job.id);
    expect(done).toMatchObject({ status: 'succeeded', stand_in: true });
    const [call, ...others] = await callsOf(started);
    expect(others).toEqual([]);
    for (const page of pages) {
      expect(call?.text).toContain(page);
      expect(done.result).toContain(page);
    }
  });

  it('may lie at an address', async () => {
    const params = { document: { url: `${address()}/report` }, prompt: 'Summarise it.' };
    const job = await submit({ type: 'document', params });
    expect(await ended(job.id)).toMatchObject({ status: 'succeeded' });
  });

  it('that has no text fails with a code that says so', async () => {
    const { body } = await upload('   \n', 'text/plain');
    const params = { document: { id: body.id }, prompt: 'Summarise it.' };
    const job = await submit({ type: 'document', params });
    expect(await ended(job.id)).toMatchObject({
      status: 'failed',
      error: { code: 'empty_document' },
    });
  });

  it('is cancelled while its server lets it wait', async () => {
    const params = { document: { url: `${address()}/hangs` }, prompt: 'Summarise it.' };
    const job = await submit({ type: 'document', params });
    await until('it runs', 30_000, async () => {
      const response = await request(`/v1/jobs/${job.id}`);
      return JSON.parse(await response.text()).status === 'running';
    });
    await request(`/v1/jobs/${job.id}/cancel`, { method: 'POST' });
    expect(await ended(job.id)).toMatchObject({ status: 'cancelled' });
  });
});
