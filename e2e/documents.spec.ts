import { createServer, type Server } from 'node:http';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { ended, request, stack, submit, uniqueId, until } from './running-stack.ts';

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

async function upload(body: string | Uint8Array<ArrayBuffer>, type: string) {
  const headers = { 'content-type': type };
  const response = await request('/v1/documents', { method: 'POST', headers, body });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

/** The requests that the Claude stand-in got with this in their prompt. */
async function requestsWith(mark: string): Promise<string[]> {
  const response = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: { body: unknown }[] = JSON.parse(await response.text());
  return entries.map(({ body }) => JSON.stringify(body)).filter((text) => text.includes(mark));
}

describe('a document', () => {
  it('is answered part by part, and the answers are joined', async () => {
    const document = await upload(report, 'text/markdown');
    expect(document.status).toBe(201);
    const mark = uniqueId('ask');
    const job = await submit({
      type: 'document',
      params: {
        document: { id: document.body.id },
        prompt: `Summarise it. ${mark}`,
        chunk_tokens: 700,
        overlap_tokens: 50,
      },
    });
    const done = await ended(job.id);
    expect(done).toMatchObject({ status: 'succeeded', stand_in: true });
    expect(done.result).toContain('stand-in');
    const calls = await requestsWith(mark);
    const parts = calls.filter((call) => call.includes('<document>'));
    expect(parts.length).toBeGreaterThan(3);
    // Each part once, and one call that joins them.
    expect(calls).toHaveLength(parts.length + 1);
    for (const paragraph of paragraphs) {
      expect(parts.some((part) => part.includes(paragraph))).toBe(true);
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
