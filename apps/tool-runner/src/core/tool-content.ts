import { createHash } from 'node:crypto';

import type { ToolSubmission } from '@millrace/contracts';

/**
 * A tool's content as it is kept, with the keys of every object in one order: two writings of the
 * same content are the same bytes.
 */
export function contentJson(content: ToolSubmission): string {
  return JSON.stringify(content, (_key, value: unknown) =>
    isRecord(value) ? Object.fromEntries(Object.entries(value).sort(byKey)) : value,
  );
}

export function contentHash(json: string): string {
  return createHash('sha256').update(json).digest('hex');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
