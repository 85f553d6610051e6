/**
 * Puts a streamed answer together, from the raw events.
 *
 * I1 A message is whole only after `message_stop`, with every block closed and a `stop_reason`.
 * I2 An event that contradicts those before it breaks the stream: nothing whole comes of it.
 * I3 Events and deltas of unknown type change nothing.
 */
import {
  type ClaudeMessage,
  type ContentBlock,
  isClaudeMessage,
  isCutShort,
  isFields,
} from './claude-message.ts';

export type StreamEnd =
  | { readonly kind: 'whole'; readonly message: ClaudeMessage }
  | { readonly kind: 'truncated' }
  | { readonly kind: 'malformed' };

export class MessageAccumulator {
  #message: ClaudeMessage | null = null;
  #openIndex: number | null = null;
  #inputJson = '';
  /** A `tool_use` whose input is not JSON: usable only as the rest of an answer cut short. */
  #inputCutOff = false;
  #stopped = false;
  #malformed = false;

  /**
   * Takes the next event.
   *
   * @returns the text that it adds to the answer, often empty
   */
  apply(event: unknown): string {
    if (this.#malformed || !isFields(event)) return '';
    switch (event['type']) {
      case 'message_start':
        return this.#start(event['message']);
      case 'content_block_start':
        return this.#openBlock(event['index'], event['content_block']);
      case 'content_block_delta':
        return this.#addDelta(event['index'], event['delta']);
      case 'content_block_stop':
        return this.#closeBlock(event['index']);
      case 'message_delta':
        return this.#addMessageDelta(event['delta'], event['usage']);
      case 'message_stop':
        return this.#stop();
      default:
        return ''; // I3
    }
  }

  /** What the stream amounts to when no more events come. */
  end(): StreamEnd {
    if (this.#malformed) return { kind: 'malformed' };
    const message = this.#message;
    if (!this.#stopped || message === null || message.stop_reason === null) {
      return { kind: 'truncated' };
    }
    if (this.#inputCutOff && !isCutShort(message)) return { kind: 'malformed' };
    return { kind: 'whole', message };
  }

  /** The answer so far, whole or not: for what it cost. */
  get partial(): ClaudeMessage | null {
    return this.#message;
  }

  #break(): string {
    this.#malformed = true; // I2
    return '';
  }

  #start(message: unknown): string {
    if (this.#message !== null || !isClaudeMessage(message)) return this.#break();
    this.#message = { ...message, content: [] };
    return '';
  }

  #openBlock(index: unknown, block: unknown): string {
    const message = this.#message;
    const fits = this.#openIndex === null && index === message?.content.length;
    if (message === null || !fits || this.#stopped) return this.#break();
    if (!isFields(block) || typeof block['type'] !== 'string') return this.#break();
    message.content.push({ ...block, type: block['type'] });
    this.#openIndex = message.content.length - 1;
    this.#inputJson = '';
    return typeof block['text'] === 'string' && block['type'] === 'text' ? block['text'] : '';
  }

  #openBlockAt(index: unknown): ContentBlock | undefined {
    if (this.#openIndex === null || index !== this.#openIndex) return undefined;
    return this.#message?.content[this.#openIndex];
  }

  #addDelta(index: unknown, delta: unknown): string {
    const block = this.#openBlockAt(index);
    if (block === undefined || !isFields(delta)) return this.#break();
    switch (delta['type']) {
      case 'text_delta':
        return this.#append(block, 'text', delta['text']);
      case 'thinking_delta':
        this.#append(block, 'thinking', delta['thinking']);
        return '';
      case 'signature_delta':
        block['signature'] = delta['signature'];
        return '';
      case 'input_json_delta':
        return this.#addInput(delta['partial_json']);
      case 'citations_delta':
        addCitation(block, delta['citation']);
        return '';
      default:
        return ''; // I3
    }
  }

  #append(block: ContentBlock, field: 'text' | 'thinking', piece: unknown): string {
    const before = block[field] ?? '';
    if (typeof piece !== 'string' || typeof before !== 'string') return this.#break();
    block[field] = before + piece;
    return block.type === 'text' ? piece : '';
  }

  #addInput(piece: unknown): string {
    if (typeof piece !== 'string') return this.#break();
    this.#inputJson += piece;
    return '';
  }

  #closeBlock(index: unknown): string {
    const block = this.#openBlockAt(index);
    if (block === undefined) return this.#break();
    this.#openIndex = null;
    if (this.#inputJson === '') return '';
    const input = parseJson(this.#inputJson);
    if (input === undefined) this.#inputCutOff = true;
    else block['input'] = input;
    return '';
  }

  #addMessageDelta(delta: unknown, usage: unknown): string {
    const message = this.#message;
    if (message === null || this.#stopped || !isFields(delta)) return this.#break();
    const { stop_reason: stopReason, ...rest } = delta;
    Object.assign(message, rest);
    if (typeof stopReason === 'string') message.stop_reason = stopReason;
    if (isFields(usage)) message['usage'] = laterUsage(message['usage'], usage);
    return '';
  }

  #stop(): string {
    if (this.#message === null || this.#openIndex !== null || this.#stopped) return this.#break();
    this.#stopped = true;
    return '';
  }
}

/** Usage is cumulative: a count that is told again replaces the one before it. */
function laterUsage(before: unknown, later: Record<string, unknown>): Record<string, unknown> {
  const usage: Record<string, unknown> = isFields(before) ? { ...before } : {};
  for (const [name, value] of Object.entries(later)) {
    if (value !== null && value !== undefined) usage[name] = value;
  }
  return usage;
}

function addCitation(block: ContentBlock, citation: unknown): void {
  const before: unknown = block['citations'];
  const known: readonly unknown[] = Array.isArray(before) ? before : [];
  block['citations'] = [...known, citation];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
