import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Kafka's numbers of the requests that are spoiled. */
export const kafkaApi = { produce: 0, offsetCommit: 8 } as const;

/** No generation of a group is so high: the broker refuses what names it. */
const wrongGeneration = 1_000_000;

/** What becomes of a request and its answer. */
type Spoiling = { readonly kind: 'cut' } | { readonly kind: 'commit-error'; readonly code: number };

/** Stands between clients and a broker that advertises this proxy's port. */
export class KafkaProxy {
  upstreamPort = 0;
  readonly #server = createServer((client) => this.#serve(client));
  readonly #clients = new Set<Socket>();
  #cutsLeft = 0;
  #commitErrors: number[] = [];
  #isHoldingCommits = false;
  #cuts = 0;
  #commitsFailed = 0;

  static async start(): Promise<KafkaProxy> {
    const proxy = new KafkaProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const { port } = this.#server.address() as AddressInfo;
    return port;
  }

  /** Connections that were cut instead of a produce's answer. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Commits that were answered with an error. */
  get commitsFailed(): number {
    return this.#commitsFailed;
  }

  /** The next `count` produces are appended, and their connections cut instead of the answer. */
  cutProduces(count: number): void {
    this.#cutsLeft = count;
  }

  /** The next commits are refused by the broker, one with each of these error codes. */
  failCommits(codes: readonly number[]): void {
    this.#commitErrors = [...codes];
  }

  /** From now on commits of offsets get no further than this, and are not answered. */
  holdCommits(): void {
    this.#isHoldingCommits = true;
  }

  /** New ones pass; those that were held never will. */
  passCommits(): void {
    this.#isHoldingCommits = false;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    const server = connect(this.upstreamPort, '127.0.0.1');
    const spoiled = new Map<number, Spoiling>();
    this.#clients.add(client);
    client.on('data', framesTo((frame) => {
      const isHeld = this.#isHoldingCommits && frame.readInt16BE(4) === kafkaApi.offsetCommit;
      if (!isHeld) server.write(this.#ask(frame, spoiled));
    }));
    server.on('data', framesTo((frame) => this.#answer(frame, { client, spoiled })));
    client.on('error', () => undefined).on('close', () => {
      this.#clients.delete(client);
      server.destroy();
    });
    server.on('error', () => undefined).on('close', () => client.destroy());
  }

  #ask(frame: Buffer, spoiled: Map<number, Spoiling>): Buffer {
    const api = frame.readInt16BE(4);
    const correlation = frame.readInt32BE(8);
    if (api === kafkaApi.produce && this.#cutsLeft > 0) {
      this.#cutsLeft -= 1;
      spoiled.set(correlation, { kind: 'cut' });
    }
    if (api !== kafkaApi.offsetCommit) return frame;
    const code = this.#commitErrors.shift();
    if (code === undefined) return frame;
    spoiled.set(correlation, { kind: 'commit-error', code });
    // Header: size, api, version, correlation, client id. Then the group's id, and its generation.
    const groupAt = 14 + frame.readInt16BE(12);
    frame.writeInt32BE(wrongGeneration, groupAt + 2 + frame.readInt16BE(groupAt));
    return frame;
  }

  #answer(
    frame: Buffer,
    { client, spoiled }: { client: Socket; spoiled: Map<number, Spoiling> },
  ): void {
    const spoiling = spoiled.get(frame.readInt32BE(4));
    spoiled.delete(frame.readInt32BE(4));
    if (spoiling?.kind === 'cut') {
      this.#cuts += 1;
      client.destroy();
      return;
    }
    if (spoiling?.kind === 'commit-error') {
      this.#commitsFailed += 1;
      replaceCommitErrors(frame, spoiling.code);
    }
    client.write(frame);
  }
}

/** Of an answer to an OffsetCommit of version 3 to 7: throttle time, then topics and partitions. */
function replaceCommitErrors(frame: Buffer, code: number): void {
  let at = 12;
  const next = (): number => frame.readInt32BE((at += 4) - 4);
  for (let topics = next(); topics > 0; topics -= 1) {
    at += 2 + frame.readInt16BE(at);
    for (let partitions = next(); partitions > 0; partitions -= 1) {
      frame.writeInt16BE(code, at + 4);
      at += 6;
    }
  }
}

/** Cuts what arrives into Kafka's frames: their size in four bytes, then so many bytes. */
function framesTo(take: (frame: Buffer) => void): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const size = 4 + rest.readInt32BE(0);
      take(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
  };
}
