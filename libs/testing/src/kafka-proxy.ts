import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Kafka's numbers of the requests that are spoiled. */
export const kafkaApi = { produce: 0, fetch: 1, offsetCommit: 8 } as const;

/** No generation of a group is so high: the broker refuses what names it. */
const wrongGeneration = 1_000_000;

/** What becomes of a request and its answer. */
type Spoiling =
  | { readonly kind: 'cut' }
  | { readonly kind: 'commit-error' | 'produce-error' | 'fetch-error'; readonly code: number };

/** Stands between clients and a broker that advertises this proxy's port. */
export class KafkaProxy {
  upstreamPort = 0;
  readonly #server = createServer((client) => this.#serve(client));
  readonly #clients = new Set<Socket>();
  #cutsLeft = 0;
  #commitCutsLeft = 0;
  #commitsToSwallow = 0;
  #commitErrors: number[] = [];
  #produceErrors: number[] = [];
  #fetchErrors: number[] = [];
  #isHoldingCommits = false;
  #cuts = 0;
  #answersFailed = 0;
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

  /** Partitions of produces and fetches that were answered with an error. */
  get answersFailed(): number {
    return this.#answersFailed;
  }

  /** Connections that were cut instead of an answer to a produce or a commit. */
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

  /** The next `count` commits are taken, and their connections cut instead of the answer. */
  cutCommits(count: number): void {
    this.#commitCutsLeft = count;
  }

  /** The next `count` commits do not arrive, and are never answered. */
  swallowCommits(count: number): void {
    this.#commitsToSwallow = count;
  }

  /** The next produces are appended, and answered with these error codes even so. */
  failProduces(codes: readonly number[]): void {
    this.#produceErrors = [...codes];
  }

  /** The next fetches are answered with these error codes, as to all of their partitions. */
  failFetches(codes: readonly number[]): void {
    this.#fetchErrors = [...codes];
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
    const ask = (frame: Buffer): void => {
      const isHeld = this.#isHoldingCommits && frame.readInt16BE(4) === kafkaApi.offsetCommit;
      if (!isHeld && !this.#isSwallowed(frame)) server.write(this.#ask(frame, spoiled));
    };
    client.on('data', framesTo(ask));
    server.on('data', framesTo((frame) => this.#answer(frame, { client, spoiled })));
    client.on('error', () => undefined).on('close', () => {
      this.#clients.delete(client);
      server.destroy();
    });
    server.on('error', () => undefined).on('close', () => client.destroy());
  }

  #isSwallowed(frame: Buffer): boolean {
    const isCommit = frame.readInt16BE(4) === kafkaApi.offsetCommit;
    if (!isCommit || this.#commitsToSwallow === 0) return false;
    this.#commitsToSwallow -= 1;
    return true;
  }

  #ask(frame: Buffer, spoiled: Map<number, Spoiling>): Buffer {
    const api = frame.readInt16BE(4);
    const correlation = frame.readInt32BE(8);
    const spoiling = this.#spoilingOf(api);
    if (spoiling !== undefined) spoiled.set(correlation, spoiling);
    if (api !== kafkaApi.offsetCommit || spoiling !== undefined) return frame;
    const code = this.#commitErrors.shift();
    if (code === undefined) return frame;
    spoiled.set(correlation, { kind: 'commit-error', code });
    // Header: size, api, version, correlation, client id. Then the group's id, and its generation.
    const groupAt = 14 + frame.readInt16BE(12);
    frame.writeInt32BE(wrongGeneration, groupAt + 2 + frame.readInt16BE(groupAt));
    return frame;
  }

  /** What becomes of the answer to a request that goes through as it is. */
  #spoilingOf(api: number): Spoiling | undefined {
    if (api === kafkaApi.produce && this.#cutsLeft > 0) {
      this.#cutsLeft -= 1;
      return { kind: 'cut' };
    }
    if (api === kafkaApi.offsetCommit && this.#commitCutsLeft > 0) {
      this.#commitCutsLeft -= 1;
      return { kind: 'cut' };
    }
    if (api === kafkaApi.produce) return errorOf('produce-error', this.#produceErrors.shift());
    if (api === kafkaApi.fetch) return errorOf('fetch-error', this.#fetchErrors.shift());
    return undefined;
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
      replaceErrors(frame, { ...spoiling, topicsAt: 12 });
    }
    if (spoiling?.kind === 'produce-error') {
      this.#answersFailed += replaceErrors(frame, { ...spoiling, topicsAt: 8 });
    }
    if (spoiling?.kind === 'fetch-error') {
      this.#answersFailed += replaceErrors(frame, { ...spoiling, topicsAt: 18 });
    }
    client.write(frame);
  }
}

type ErrorKind = Exclude<Spoiling['kind'], 'cut'>;

function errorOf(kind: ErrorKind, code: number | undefined): Spoiling | undefined {
  return code === undefined ? undefined : { kind, code };
}

/** What an answer says of a partition beside its number and error, in the versions of kafkajs. */
const partitionRestBytes: Readonly<Record<ErrorKind, (frame: Buffer, at: number) => number>> = {
  // Version 3 to 7.
  'commit-error': () => 0,
  // Version 5 to 7: offset, time, first offset.
  'produce-error': () => 24,
  // Version 11: three offsets, aborted transactions, a replica, records.
  'fetch-error': (frame, at) => {
    const aborted = Math.max(0, frame.readInt32BE(at + 24)) * 16;
    return 36 + aborted + Math.max(0, frame.readInt32BE(at + 32 + aborted));
  },
};

/** @returns how many partitions have the error now. */
function replaceErrors(
  frame: Buffer,
  { kind, code, topicsAt }: { kind: ErrorKind; code: number; topicsAt: number },
): number {
  let replaced = 0;
  let at = topicsAt;
  const next = (): number => frame.readInt32BE((at += 4) - 4);
  for (let topics = next(); topics > 0; topics -= 1) {
    at += 2 + frame.readInt16BE(at);
    for (let partitions = next(); partitions > 0; partitions -= 1) {
      frame.writeInt16BE(code, at + 4);
      at += 6 + partitionRestBytes[kind](frame, at + 6);
      replaced += 1;
    }
  }
  return replaced;
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
