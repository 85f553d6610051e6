import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** The last message of an answer: the server waits for a query, in no transaction. */
const readyAndIdle = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** Stands between a pool and Postgres, and breaks what passes in ways that a network does. */
export class PostgresProxy {
  readonly #upstream: URL;
  readonly #server = createServer((client) => this.#serve(client));
  readonly #clients = new Set<Socket>();
  #refusing = false;
  #cutAfter: string | null = null;
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
      server.write(bytes);
    });
    server.on('data', (bytes: Buffer) => {
      if (!cutting) client.write(bytes);
      else if (bytes.subarray(-readyAndIdle.length).equals(readyAndIdle)) {
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

  #connect(): Socket {
    const { hostname, port, searchParams } = this.#upstream;
    const directory = searchParams.get('host');
    const portNumber = Number(port === '' ? '5432' : port);
    if (directory !== null) return connect(`${directory}/.s.PGSQL.${portNumber}`);
    return connect(portNumber, hostname);
  }
}
