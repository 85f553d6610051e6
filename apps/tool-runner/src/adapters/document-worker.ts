/**
 * Takes the text out of one document, in a thread of its own: a hostile file costs its thread and
 * nothing else. Whoever started it watches its time and its memory.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { convert } from 'html-to-text';
import { extractText, getDocumentProxy } from 'unpdf';
import { z } from 'zod';

const givenSchema = z.object({
  bytes: z.instanceof(Uint8Array),
  form: z.enum(['text', 'html', 'pdf']),
});
type Given = z.infer<typeof givenSchema>;

/** Depth and size that a page has in good faith. */
const htmlLimits = { maxInputLength: 32 * 1024 * 1024, maxDepth: 200 };

async function textOf({ bytes, form }: Given): Promise<string> {
  switch (form) {
    case 'text':
      return utf8(bytes);
    case 'html':
      return convert(utf8(bytes), {
        wordwrap: false,
        limits: htmlLimits,
        selectors: [
          { selector: 'a', options: { ignoreHref: true } },
          { selector: 'img', format: 'skip' },
          ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((selector) => ({
            selector,
            options: { uppercase: false },
          })),
        ],
      });
    case 'pdf': {
      const { text } = await extractText(await getDocumentProxy(bytes), { mergePages: false });
      return text.join('\n\n');
    }
  }
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

try {
  const text = await textOf(givenSchema.parse(workerData));
  parentPort?.postMessage({ kind: 'text', text });
} catch (error) {
  const isEncrypted = error instanceof Error && error.name === 'PasswordException';
  parentPort?.postMessage({ kind: isEncrypted ? 'encrypted' : 'unreadable' });
}
