import { assertNever, type JobView } from '@millrace/contracts';

import type { RunChange } from './live-run.ts';
import { sseDone, sseFrame } from './sse-frame.ts';

/** Frames of `POST /v1/stream`: the article's pattern. */
export function tokenFrame(text: string): string {
  return sseFrame({ data: { token: text } });
}

/** A new attempt is a named event: the text begins again after it. */
export function tokenChangeFrame(change: RunChange): string {
  switch (change.kind) {
    case 'restarted':
      return sseFrame({ event: 'stream.restarted', data: { attempt: change.attempt } });
    case 'added':
      return tokenFrame(change.text);
    // Of messages, and so here, nobody tells these; the text of turns would be one stream.
    case 'turn':
    case 'step':
      return '';
    default:
      return assertNever(change);
  }
}

export function tokenEndFrames(view: JobView): string {
  if (view.status === 'succeeded') return sseDone;
  const code = view.error?.code ?? 'internal';
  const detail = view.error?.detail ?? `the job ended as ${view.status}`;
  return sseFrame({ event: 'error', data: { code, detail } }) + sseDone;
}
