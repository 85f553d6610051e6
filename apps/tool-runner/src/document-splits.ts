import {
  documentChunksMax,
  documentBytesMax,
  documentManifestRef,
  documentManifestSchema,
  documentParamsSchema,
  documentPieceRef,
  documentTypes,
  type DocumentForm,
  type DocumentParams,
  type DocumentSource,
  type DocumentSplitRequested,
  type ErrorCode,
  type PayloadCodec,
} from '@millrace/contracts';
import type { FailureClass } from '@millrace/egress';

import type { DocumentTexts } from './adapters/document-texts.ts';
import { addresseeOf } from './core/completion.ts';
import { formOf } from './core/document-form.ts';
import type { ToolResult } from './core/outcome.ts';
import { partCall } from './core/part-params.ts';
import { splitText } from './core/split-text.ts';
import type { RunContext, RunResult } from './execution-policy.ts';
import type { BlobStore, Courier } from './ports.ts';

/** For all of a document from an address. */
const fetchMsMax = 60_000;
/** Attempts after the first, of what may pass. */
const retriesMax = 3;
/** Parts that are written at once. */
const writesMax = 8;
/** As long as a job's row is kept, and a day: 31 days. */
const ttlSeconds = 31 * 86_400;

export interface DocumentSplitsOptions {
  readonly blobs: BlobStore;
  readonly codec: PayloadCodec;
  readonly courier: Courier;
  readonly texts: DocumentTexts;
}

type Failure = Extract<ToolResult, { kind: 'failure' }>;

interface Fetched {
  readonly bytes: Buffer;
  readonly contentType: string | undefined;
}

type Asked = DocumentParams & { readonly model: string };

/**
 * Makes the parts of a document: its bytes are read, its text is taken out and cut, and each part
 * becomes the parameters of a model call. The same document and job give the same parts under the
 * same names, so an attempt that is made again changes nothing.
 */
export class DocumentSplits {
  constructor(private readonly options: DocumentSplitsOptions) {}

  async split(request: DocumentSplitRequested, context: RunContext): Promise<RunResult> {
    const asked = documentParamsSchema.safeParse(request.params);
    const { model } = asked.data ?? {};
    if (asked.data === undefined || model === undefined) {
      return failedWith(refusal('invalid_request', 'params of the document are not as they were'));
    }
    const fetched = await this.fetch(request, asked.data.document, context);
    if ('kind' in fetched) return failedWith(fetched);
    const form = formOf(fetched.contentType, fetched.bytes);
    if (form === null) return failedWith(refusal('unreadable_document', notTaken(fetched)));
    return this.cut(request, { fetched, form, asked: { ...asked.data, model } }, context);
  }

  private async cut(
    request: DocumentSplitRequested,
    o: { readonly fetched: Fetched; readonly form: DocumentForm; readonly asked: Asked },
    { signal }: RunContext,
  ): Promise<RunResult> {
    const { asked } = o;
    const extracted = await this.options.texts.textOf(o.fetched.bytes, o.form, signal);
    if (!extracted.ok) return failedWith(refusal(extracted.code, extracted.detail));
    const { text } = extracted;
    const overlapTokens = Math.min(asked.overlap_tokens, Math.floor(asked.chunk_tokens / 2));
    const places = splitText(text, { tokensMax: asked.chunk_tokens, overlapTokens });
    if (places.length > documentChunksMax) {
      const detail = `it has ${places.length} parts; there may be ${documentChunksMax}`;
      return failedWith(refusal('document_too_large', `${detail}: make chunk_tokens larger`));
    }
    const calls = places.map(({ start, end }, index) =>
      partCall(text.slice(start, end), { index, count: places.length }, asked),
    );
    const partsRef = `blob_${request.job_id}.parts`;
    const bodies = calls.map(({ params }) => Buffer.from(JSON.stringify(params)));
    await this.keep(request.tenant, partsRef, bodies);
    const parts = calls.map(({ tokens }) => tokens);
    return {
      result: { kind: 'output', output: null },
      completion: {
        type: 'millrace.document.split.v1',
        data: { ...addresseeOf(request), parts_ref: partsRef, parts },
      },
    };
  }

  private async keep(tenant: string, ref: string, bodies: readonly Buffer[]): Promise<void> {
    const { blobs, codec } = this.options;
    for (let from = 0; from < bodies.length; from += writesMax) {
      const some = bodies.slice(from, from + writesMax);
      const writes = some.map((body, n) => {
        const bytes = codec.encode(body, { tenant, medium: 'blob' });
        return blobs.put(tenant, `${ref}.${from + n}`, { bytes, ttlSeconds });
      });
      await Promise.all(writes);
    }
  }

  private fetch(
    { tenant }: DocumentSplitRequested,
    source: DocumentSource,
    context: RunContext,
  ): Promise<Fetched | Failure> {
    return 'id' in source ? this.uploaded(tenant, source.id) : this.fetched(source.url, context);
  }

  private async uploaded(tenant: string, id: string): Promise<Fetched | Failure> {
    const { blobs, codec } = this.options;
    const read = async (ref: string): Promise<Buffer | null> => {
      const bytes = await blobs.get(tenant, ref);
      return bytes === null ? null : codec.decode(bytes, { tenant, medium: 'blob' });
    };
    const gone = refusal('not_found', `there is no document ${id}, or it is kept no longer`);
    const json = await read(documentManifestRef(id));
    if (json === null) return gone;
    const manifest = documentManifestSchema.parse(JSON.parse(json.toString('utf8')));
    const pieces: Buffer[] = [];
    for (let index = 0; index < manifest.pieces; index += 1) {
      const piece = await read(documentPieceRef(id, index));
      if (piece === null) return gone;
      pieces.push(piece);
    }
    return { bytes: Buffer.concat(pieces), contentType: manifest.content_type };
  }

  private async fetched(url: string, { signal }: RunContext): Promise<Fetched | Failure> {
    const result = await this.options.courier.exchange({
      method: 'GET',
      url,
      headers: { accept: documentTypes.join(', ') },
      body: Buffer.alloc(0),
      signal,
      timeoutMs: fetchMsMax,
      bodyBytesMax: documentBytesMax,
      idempotent: true,
    });
    switch (result.kind) {
      case 'blocked':
        return refusal(
          'blocked_address',
          `the address of the document is not allowed (${result.reason})`,
        );
      case 'failed':
        return { ...unreached(result.class), transient: true };
      case 'response':
        return receivedOf(result);
    }
  }
}

function receivedOf(result: {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly cut: boolean;
}): Fetched | Failure {
  const { status, headers, body, cut } = result;
  if (status >= 200 && status < 300) {
    return cut
      ? refusal('document_too_large', `a document has at most ${documentBytesMax} bytes`)
      : { bytes: body, contentType: headers['content-type'] };
  }
  const failure = refusal('tool_failed', `the server of the document answered with ${status}`);
  return { ...failure, transient: status >= 500 || status === 429 || status === 408, status };
}

/** Why there is no answer of the server that a document lies at. */
export function unreached(failure: FailureClass): Failure {
  if (failure === 'timeout') {
    const detail = `the server of the document did not answer within ${fetchMsMax / 1_000} s`;
    return refusal('tool_timeout', detail);
  }
  return refusal('tool_failed', `the server of the document could not be reached (${failure})`);
}

function notTaken({ contentType }: Fetched): string {
  return `it is of type ${contentType ?? 'unknown'}; send text, Markdown, HTML or PDF`;
}

function refusal(code: ErrorCode, detail: string): Failure {
  return { kind: 'failure', failure: { code, detail }, transient: false, class: code };
}

function failedWith(result: Failure): RunResult {
  return { result, retries: retriesMax };
}
