import { connect, type Socket } from 'node:net';

/** A client that speaks bytes, as no HTTP library would. */
export class RawClient {
  readonly #socket: Socket;
  #received = '';
  #isClosed = false;
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        resolve();
      });
    });
    // A server that has seen enough resets the connection.
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      this.#received += bytes.toString('latin1');
    });
  }

  static async open(url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const client = new RawClient(socket);
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return client;
  }

  get received(): string {
    return this.#received;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Of the first answer; null before there is one. */
  get status(): number | null {
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(this.#received)?.[1];
    return status === undefined ? null : Number(status);
  }

  /** Bytes that left this process. */
  get sent(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  write(bytes: string | Buffer): void {
    if (!this.#isClosed) this.#socket.write(bytes);
  }

  /** Writes the same bytes until the server has had enough, as fast as it reads. */
  async flood(piece: string | Buffer, bytesMax: number): Promise<void> {
    while (!this.#isClosed && this.#socket.bytesWritten < bytesMax) {
      if (this.#socket.write(piece)) await new Promise((resolve) => setImmediate(resolve));
      else await Promise.race([this.closed, this.#drained()]);
    }
  }

  /** Writes a byte every so often until the connection is closed. */
  async drip(text: string, everyMs: number): Promise<void> {
    for (const byte of text) {
      if (this.#isClosed) return;
      this.#socket.write(byte);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => this.#socket.once('drain', resolve));
  }
}
