import type { DocumentParams, Usage } from '@millrace/contracts';

import { request, stack, submit, uniqueId, type ShownJob } from './running-stack.ts';

/** One call about a document, as the stand-in was asked for it. */
export interface DocumentCall {
  /** From 1; null: it joins answers. */
  readonly part: number | null;
  readonly text: string;
  readonly status: number;
  readonly usage: Usage | null;
  readonly inFlight: boolean;
}

/** A document job whose calls bear a mark of their own. */
export interface StartedDocument {
  readonly job: ShownJob;
  readonly mark: string;
}

/** Hands a document over. */
export async function upload(body: string | Uint8Array<ArrayBuffer>, type: string) {
  const headers = { 'content-type': type };
  const response = await request('/v1/documents', { method: 'POST', headers, body });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

/** Asks for a text of this many paragraphs, each a part of its own. */
export async function startParts(o: {
  readonly parts: number;
  /** What stands at the end of each, where the stand-in's answer does not quote it. */
  readonly says?: (n: number) => string;
  readonly prompt?: string;
}): Promise<StartedDocument> {
  const says = o.says ?? (() => '');
  const paragraphs = Array.from(
    { length: o.parts },
    (_, n) => `Paragraph ${n + 1}. ${filling}${says(n + 1)}`,
  );
  const { body } = await upload(paragraphs.join('\n\n'), 'text/plain');
  const prompt = o.prompt ?? 'Summarise it.';
  return startDocument(body.id, { prompt, chunk_tokens: 500, overlap_tokens: 0 });
}

/** Some 400 tokens as they are estimated, so that no two paragraphs are one part. */
const filling = 'It speaks about weirs, races and wheels. '.repeat(30);

/** Starts a job about an uploaded document. */
export async function startDocument(
  documentId: string,
  { prompt, ...params }: Partial<DocumentParams>,
): Promise<StartedDocument> {
  const mark = uniqueId('ask');
  const asked = { ...params, prompt: `${prompt} ${mark}`, document: { id: documentId } };
  return { job: await submit({ type: 'document', params: asked }), mark };
}

/** The calls that the stand-in got for a job, oldest first. */
export async function callsOf({ mark }: StartedDocument): Promise<DocumentCall[]> {
  const response = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: JournalEntry[] = JSON.parse(await response.text());
  return entries.flatMap(({ body, ended_at, status, usage }) => {
    const text = JSON.stringify(body);
    if (!text.includes(mark)) return [];
    const number = /"Part (\d+) of \d+\./.exec(text)?.[1];
    const part = number === undefined ? null : Number(number);
    return [{ part, text, status, usage, inFlight: ended_at === null }];
  });
}

interface JournalEntry {
  readonly body: unknown;
  readonly ended_at: string | null;
  readonly status: number;
  readonly usage: Usage | null;
}

/** How often each part was asked about, by its number. */
export function sendsByPart(calls: readonly DocumentCall[]): Map<number, number> {
  const sends = new Map<number, number>();
  for (const { part } of calls) {
    if (part !== null) sends.set(part, (sends.get(part) ?? 0) + 1);
  }
  return sends;
}
