import { Worker } from 'node:worker_threads';

import { assertNever, type DocumentForm } from '@millrace/contracts';
import { z } from 'zod';

import type { ExtractedText } from '../core/document-form.ts';

/** A book of a thousand pages takes some ten seconds. */
const extractMsMax = 60_000;
/** What a document may make this process grow by while it is read, zip bombs stopped there. */
const growthBytesMax = 768 * 1024 * 1024;
const watchEveryMs = 50;
/** Heap of the thread; buffers are not in it, which is why growth is watched, too. */
const heapMiBMax = 512;
/**
 * Node ends a thread at its limit, and until then allows its collector 16 MiB more. A young
 * generation that survives whole must fit in there, or V8 ends the process in place of the thread.
 */
const youngMiBMax = 12;
/** Documents that are read at once: each takes a core. */
const readersMax = 1;
/** Characters of a text: what a thousand parts of the smallest model's window hold. */
export const textLengthMax = 64 * 1024 * 1024;

const answerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text'), text: z.string() }),
  z.object({ kind: z.literal('encrypted') }),
  z.object({ kind: z.literal('unreadable') }),
]);

const outOfMemorySchema = z.object({ code: z.literal('ERR_WORKER_OUT_OF_MEMORY') });

/** From sources a worker is TypeScript, in a build JavaScript. */
const workerUrl = new URL(
  `./document-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url,
);

/** Nobody wants the text any more. */
export class ReadingStopped extends Error {
  override readonly name = 'ReadingStopped';

  constructor() {
    super('the document is not read any further');
  }
}

/** Reads documents, one after another, each in a thread that is ended when it takes too much. */
export class DocumentTexts {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @throws ReadingStopped when the signal is aborted. */
  async textOf(
    bytes: Buffer,
    form: DocumentForm,
    signal: AbortSignal,
  ): Promise<ExtractedText> {
    await this.#turn();
    try {
      if (signal.aborted) throw new ReadingStopped();
      const told = await readInThread({ bytes, form, signal });
      return judged(told, form);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    while (this.#running >= readersMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running += 1;
  }
}

type Told = z.infer<typeof answerSchema> | { readonly kind: 'too_much' };

function readInThread(o: {
  readonly bytes: Buffer;
  readonly form: DocumentForm;
  readonly signal: AbortSignal;
}): Promise<Told> {
  // A copy of its own: a buffer of the pool cannot be handed over.
  const bytes = new Uint8Array(o.bytes);
  const worker = new Worker(workerUrl, {
    workerData: { bytes, form: o.form },
    transferList: [bytes.buffer],
    resourceLimits: {
      maxOldGenerationSizeMb: heapMiBMax,
      maxYoungGenerationSizeMb: youngMiBMax,
    },
    // Nothing of the service's environment is any document's business.
    env: {},
    execArgv: [],
    stdout: true,
    stderr: true,
  });
  return new Promise<Told>((resolve, reject) => {
    const watch = watched(worker, (told) => stop(() => resolve(told)));
    // The first that happens says what came of it: a thread that was ended ends once more.
    const stop = (settle: () => void): void => {
      watch.end();
      o.signal.removeEventListener('abort', onAbort);
      void worker.terminate().then(settle, reject);
    };
    const onAbort = (): void => stop(() => reject(new ReadingStopped()));
    o.signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** Tells once what came of a thread, be it that it took too much. */
function watched(worker: Worker, onTold: (told: Told) => void): { end: () => void } {
  const rssBefore = process.memoryUsage.rss();
  let isOver = false;
  const end = (): void => {
    isOver = true;
    clearInterval(watch);
    clearTimeout(deadline);
  };
  const tell = (told: Told): void => {
    if (isOver) return;
    end();
    onTold(told);
  };
  const watch = setInterval(() => {
    if (process.memoryUsage.rss() - rssBefore > growthBytesMax) tell({ kind: 'too_much' });
  }, watchEveryMs);
  const deadline = setTimeout(() => tell({ kind: 'too_much' }), extractMsMax);
  worker.on('message', (message: unknown) => tell(answerSchema.parse(message)));
  // Out of memory, or a bug in a parser: either way this document is the cause.
  worker.on('error', (error: unknown) => {
    tell({ kind: outOfMemorySchema.safeParse(error).success ? 'too_much' : 'unreadable' });
  });
  worker.on('exit', () => tell({ kind: 'unreadable' }));
  return { end };
}

const unreadable: Readonly<Record<DocumentForm, string>> = {
  text: 'it is not text in UTF-8',
  html: 'it is not HTML in UTF-8 that can be read',
  pdf: 'it is not a PDF that can be read',
};

function judged(told: Told, form: DocumentForm): ExtractedText {
  switch (told.kind) {
    case 'text':
      return judgedText(told.text, form);
    case 'encrypted':
      return refused('encrypted_document', 'it needs a password');
    case 'unreadable':
      return refused('unreadable_document', unreadable[form]);
    case 'too_much':
      return refused('document_too_large', 'reading it takes too much time or memory');
    default:
      return assertNever(told);
  }
}

function judgedText(text: string, form: DocumentForm): ExtractedText {
  // NUL is no character of a text, and Postgres and some models refuse it.
  const clean = text.replaceAll('\u0000', '').replaceAll('\r\n', '\n');
  if (clean.trim() === '') {
    const why = form === 'pdf' ? 'its pages hold pictures, or nothing' : 'there is nothing in it';
    return refused('empty_document', why);
  }
  if (clean.length > textLengthMax) {
    return refused('document_too_large', `its text is above ${textLengthMax} characters`);
  }
  return { ok: true, text: clean.isWellFormed() ? clean : clean.toWellFormed() };
}

function refused(
  code: Extract<ExtractedText, { ok: false }>['code'],
  detail: string,
): ExtractedText {
  return { ok: false, code, detail };
}
