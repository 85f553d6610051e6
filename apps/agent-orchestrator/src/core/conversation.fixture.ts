import { untrustedData } from '@millrace/contracts';

/** What a sub-agent says that read nothing of others. */
const ownText = 'found';

type Must = (holds: boolean, what: string) => void;

interface Message {
  readonly role: string;
  readonly content: unknown;
}

interface Block {
  readonly type: string;
  readonly id?: string;
  readonly tool_use_id?: string;
  readonly content?: unknown;
  readonly is_error?: boolean;
}

/** A conversation as claude-worker builds it of a run's calls, held to the rules of the API. */
export class Conversation {
  readonly #messages: Message[] = [];
  #carried: readonly Message[] = [];
  #seq = 0;
  #tokens = 0;
  #addedTokens = 0;
  outputTokens = 0;
  #paused = false;

  constructor(readonly must: Must) {}

  /** A call: what it carries follows what there is. */
  asked(seq: number | null, messages: unknown): void {
    this.must(seq === this.#seq + 1, 'calls of a conversation are numbered without gaps');
    this.#seq += 1;
    this.must(Array.isArray(messages), 'a call has messages');
    const carried: Message[] = JSON.parse(JSON.stringify(messages));
    this.#carried = carried;
    // What the API adds by itself: for the tools at first, and around every turn.
    const frame = this.#messages.length === 0 ? 300 : 60;
    this.#addedTokens = Math.ceil(JSON.stringify(carried).length / 4) + frame;
    if (carried.length === 0) {
      this.must(this.#paused, 'only a paused turn goes on without a message');
      return;
    }
    this.must(carried[0]?.role === 'user', 'people and models take turns');
    const opening = JSON.stringify(this.#messages[0]);
    const again = this.#messages.length > 0 && JSON.stringify(carried[0]) === opening;
    this.must(!again, 'what is kept is not sent again');
    this.#checkResults(carried[0]!);
  }

  /** Tokens of the prompt that the last call makes. */
  promptTokens(): number {
    return this.#tokens + this.#addedTokens;
  }

  answered(message: object, kept: boolean): void {
    if (!kept) return;
    this.#tokens = this.promptTokens() + this.outputTokens;
    const { content, stop_reason } = message as { content: unknown; stop_reason: string };
    this.#paused = stop_reason === 'pause_turn';
    this.#messages.push(...this.#carried, { role: 'assistant', content });
  }

  #checkResults(next: Message): void {
    const last = this.#messages.at(-1);
    const asked = blocksOf(last).filter(({ type }) => type === 'tool_use');
    const blocks = blocksOf(next);
    const results = blocks.filter(({ type }) => type === 'tool_result');
    const wanted = asked.map(({ id }) => id).join();
    const given = results.map(({ tool_use_id }) => tool_use_id).join();
    this.must(wanted === given, 'I1: every tool_use has its result, in the order asked');
    const first = blocks.slice(0, results.length).every(({ type }) => type === 'tool_result');
    this.must(first, 'results come before any text');
    for (const { content, is_error } of results) {
      const text = String(content);
      const own = is_error === true || text === ownText;
      const whole = own || text.startsWith(untrustedData('').split('\n')[0]!);
      this.must(whole, 'what others wrote is framed');
      const closings = text.split('</untrusted_data>').length - 1;
      this.must(closings <= 1, 'what others wrote does not end its frame');
    }
  }
}

function blocksOf(message: Message | undefined): readonly Block[] {
  return Array.isArray(message?.content) ? message.content : [];
}
