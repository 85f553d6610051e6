import { readFileSync, statSync } from 'node:fs';
import { basename, extname } from 'node:path';

import { documentBytesMax, documentTypes, documentViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { documentText } from '../core/document-text.ts';
import { UsageError } from '../core/usage-error.ts';

const typeOfExtension: ReadonlyMap<string, string> = new Map([
  ['.txt', 'text/plain'],
  ['.md', 'text/markdown'],
  ['.markdown', 'text/markdown'],
  ['.html', 'text/html'],
  ['.htm', 'text/html'],
  ['.xhtml', 'application/xhtml+xml'],
  ['.pdf', 'application/pdf'],
]);

export const uploadDocument = defineCommand({
  name: 'documents upload',
  summary: 'Upload a file, for jobs of type "document" to be about',
  example: 'millrace documents upload README.md --name readme',
  operands: ['file'],
  options: z.object({
    name: valueOption('TEXT', "what it is called (the file's name)", z.string().min(1).max(255)),
    type: valueOption(
      'TYPE',
      'its media type (by the ending of its name)',
      z.enum(documentTypes, `must be one of ${documentTypes.join(', ')}`),
    ),
  }),
  run: async ({ api }, { operands: [file = ''], values: { name, type } }) => {
    const content = { type: type ?? typeOf(file), bytes: bytesOf(file) };
    const document = await api.ask({
      method: 'POST',
      path: '/v1/documents',
      query: { name: name ?? basename(file) },
      content,
      answer: documentViewSchema,
    });
    return { json: document, text: documentText(document) };
  },
});

function typeOf(file: string): string {
  const type = typeOfExtension.get(extname(file).toLowerCase());
  if (type !== undefined) return type;
  throw new UsageError(`${file}: its name does not tell its type, so say --type`);
}

function bytesOf(file: string): Buffer<ArrayBuffer> {
  try {
    if (statSync(file).size <= documentBytesMax) return readFileSync(file);
  } catch {
    throw new UsageError(`${file} cannot be read`);
  }
  throw new UsageError(`${file} has more than the ${documentBytesMax} bytes of a document`);
}
