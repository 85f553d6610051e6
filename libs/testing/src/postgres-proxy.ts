import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** The last message of an answer: the server waits for a query, in no transaction. */
const readyAndIdle = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/**
 * Where a statement is held up for ever: before Postgres gets it, while Postgres works on it, or
 * when Postgres has answered.
 */
export type HoldPoint = 'before' | 'during' | 'after';

/** What becomes of a connection by the statement that it sent. */
interface Hold {
  readonly text: string;
  /** Only in a transaction in which this went before: other work commits, too. */
  readonly within: string;
  readonly at: HoldPoint | 'cut';
  readonly held: () => void;
}

/** Stands between a pool and Postgres, and breaks what passes in ways that a network does. */
export class PostgresProxy {
  readonly #upstream: URL;
  readonly #server = createServer((client) => this.#serve(client));
  readonly #clients = new Set<Socket>();
  #refusing = false;
  #cutAfter: string | null = null;
  #holds: Hold[] = [];
  #resetAt: string | null = null;
  #cuts = 0;
  #resets = 0;
  #refused = 0;

  private constructor(url: string) {
    this.#upstream = new URL(url);
  }

  static async start(url: string): Promise<PostgresProxy> {
    const proxy = new PostgresProxy(url);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** The URL given at the start, by way of the proxy. */
  get url(): string {
    const url = new URL(this.#upstream);
    const { port } = this.#server.address() as AddressInfo;
    url.hostname = '127.0.0.1';
    url.port = String(port);
    url.searchParams.delete('host');
    return url.href;
  }

  /** Connections that were not accepted. */
  get refused(): number {
    return this.#refused;
  }

  /** Connections that were closed in place of a statement. */
  get resets(): number {
    return this.#resets;
  }

  /** Connections that were cut after a commit. */
  get cuts(): number {
    return this.#cuts;
  }

  /**
   * Once: what holds `text` is passed on and answered, so it is committed, but the connection is
   * closed instead of the answer.
   */
  cutAfter(text: string): void {
    this.#cutAfter = text;
  }

  /** Once: the connection is closed instead of committing what holds `text`. */
  cutBeforeCommitOf(text: string): Promise<void> {
    return this.#hold({ text: 'COMMIT', within: text, at: 'cut' });
  }

  /** Once: what holds `text` goes no further than this. Resolves when it is there. */
  hold(text: string, at: HoldPoint): Promise<void> {
    return this.#hold({ text, within: '', at });
  }

  /** The same for the commit of a transaction of which a statement holds `text`. */
  holdCommitOf(text: string, at: HoldPoint): Promise<void> {
    return this.#hold({ text: 'COMMIT', within: text, at });
  }

  #hold(hold: Omit<Hold, 'held'>): Promise<void> {
    return new Promise((held) => this.#holds.push({ ...hold, held }));
  }

  /** Once: what holds `text` does not reach Postgres, its connection is closed instead. */
  resetAt(text: string): void {
    this.#resetAt = text;
  }

  /** Closes every connection, and new ones at once, until `accept`. */
  refuse(): void {
    this.#refusing = true;
    for (const client of this.#clients) client.destroy();
  }

  accept(): void {
    this.#refusing = false;
  }

  async stop(): Promise<void> {
    this.refuse();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    if (this.#refusing) {
      this.#refused += 1;
      client.destroy();
      return;
    }
    const server = this.#connect();
    let cutting = false;
    let hold: Hold | undefined;
    let transaction = '';
    this.#clients.add(client);
    client.on('data', (bytes: Buffer) => {
      if (this.#resetAt !== null && bytes.includes(this.#resetAt)) {
        this.#resetAt = null;
        this.#resets += 1;
        client.destroy();
        return;
      }
      if (this.#cutAfter !== null && bytes.includes(this.#cutAfter)) {
        this.#cutAfter = null;
        cutting = true;
      }
      transaction = bytes.includes('BEGIN') ? '' : transaction;
      if (this.#holds.length > 0) transaction += bytes.toString('latin1');
      hold ??= this.#takeHold(bytes, transaction);
      if (hold?.at === 'cut') client.destroy();
      else if (hold?.at !== 'before') server.write(bytes);
      if (hold !== undefined && hold.at !== 'after') hold.held();
    });
    server.on('data', (bytes: Buffer) => {
      const isAnswered = bytes.subarray(-readyAndIdle.length).equals(readyAndIdle);
      if (hold !== undefined) {
        if (isAnswered) hold.held();
      } else if (!cutting) client.write(bytes);
      else if (isAnswered) {
        this.#cuts += 1;
        client.destroy();
      }
    });
    client.on('error', () => undefined).on('close', () => {
      this.#clients.delete(client);
      server.destroy();
    });
    server.on('error', () => undefined).on('close', () => client.destroy());
  }

  #takeHold(bytes: Buffer, transaction: string): Hold | undefined {
    const hold = this.#holds.find(
      ({ text, within }) => bytes.includes(text) && transaction.includes(within),
    );
    if (hold !== undefined) this.#holds = this.#holds.filter((other) => other !== hold);
    return hold;
  }

  #connect(): Socket {
    const { hostname, port, searchParams } = this.#upstream;
    const directory = searchParams.get('host');
    const portNumber = Number(port === '' ? '5432' : port);
    if (directory !== null) return connect(`${directory}/.s.PGSQL.${portNumber}`);
    return connect(portNumber, hostname);
  }
}
