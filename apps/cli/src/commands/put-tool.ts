import { readFileSync } from 'node:fs';

import { toolViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { toolText } from '../core/tool-text.ts';
import { UsageError } from '../core/usage-error.ts';
import { jsonText } from './json-text.ts';

export const putTool = defineCommand({
  name: 'tools put',
  summary: 'Register a tool, or make a new version of it',
  example: 'millrace tools put search_orders --file search-orders.json',
  operands: ['name'],
  options: z.object({
    file: valueOption('PATH', 'its description, schemas and target as JSON', z.string().min(1)),
    data: valueOption('JSON', 'the same, typed here', jsonText),
  }),
  run: async ({ api }, { operands: [name = ''], values: { data, file } }) => {
    if ((file === undefined) === (data === undefined)) {
      throw new UsageError('tools put takes --file or --data');
    }
    const tool = await api.ask({
      method: 'PUT',
      path: pathOf('v1', 'tools', name),
      body: file === undefined ? data : fileContent(file),
      answer: toolViewSchema,
    });
    return { json: tool, text: toolText(tool) };
  },
});

function fileContent(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new UsageError(`--file: ${path} cannot be read`);
  }
  const parsed = jsonText.safeParse(text);
  if (!parsed.success) throw new UsageError(`--file: ${path} is not JSON`);
  return parsed.data;
}
