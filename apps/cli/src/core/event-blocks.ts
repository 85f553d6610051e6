/** One event of a `text/event-stream`. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

/** What a piece of a stream adds: its whole events, and the time to wait before another try. */
export interface ReadPiece {
  readonly events: readonly StreamEvent[];
  readonly retryMs: number | undefined;
}

/** Takes a stream apart as the HTML standard does, whatever the pieces that it comes in. */
export class EventBlocks {
  #rest = '';

  read(piece: string): ReadPiece {
    const blocks = (this.#rest + piece).split(/\r?\n\r?\n/);
    this.#rest = blocks.pop() ?? '';
    const lines = blocks.map((block) => block.split(/\r?\n/));
    const events = lines.flatMap(eventOf);
    const retry = lines.flatMap((each) => valuesOf(each, 'retry')).at(-1);
    const isTime = retry !== undefined && /^\d{1,6}$/.test(retry);
    return { events, retryMs: isTime ? Number(retry) : undefined };
  }
}

/** A block without data is no event: it keeps the connection, or says when to come back. */
function eventOf(lines: readonly string[]): StreamEvent[] {
  const data = valuesOf(lines, 'data');
  if (data.length === 0) return [];
  const event = valuesOf(lines, 'event').at(-1) ?? 'message';
  return [{ event, id: valuesOf(lines, 'id').at(-1), data: data.join('\n') }];
}

function valuesOf(lines: readonly string[], field: string): string[] {
  const before = `${field}:`;
  return lines
    .filter((line) => line.startsWith(before))
    .map((line) => line.slice(before.length).replace(/^ /, ''));
}
