import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import { KafkaProxy } from './kafka-proxy.ts';

type Process = ChildProcessByStdio<Writable, Readable, null>;

/** A Kafka of one spec's own behind a proxy: it may be killed, and its answers spoiled. */
export class TestBroker {
  readonly #lines: AsyncIterator<string>;

  private constructor(
    readonly proxy: KafkaProxy,
    private readonly process: Process,
    lines: Interface,
  ) {
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** @param properties of the broker, as `name=value` */
  static async start(properties: readonly string[] = []): Promise<TestBroker> {
    const proxy = await KafkaProxy.start();
    const script = join(import.meta.dirname, '../../../tools/broker.mjs');
    const child = spawn(process.execPath, [script, String(proxy.port), ...properties], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const broker = new TestBroker(proxy, child, createInterface({ input: child.stdout }));
    proxy.upstreamPort = Number(await broker.#line());
    return broker;
  }

  /** By way of the proxy, as clients find it. */
  get brokers(): string[] {
    return [`127.0.0.1:${this.proxy.port}`];
  }

  /** With -9. Resolves when it is dead. */
  async kill(): Promise<void> {
    this.process.stdin.write('kill\n');
    await this.#line();
  }

  /** Resolves when it answers again. */
  async restart(): Promise<void> {
    this.process.stdin.write('start\n');
    await this.#line();
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.stdin.end();
    await ended;
    await this.proxy.stop();
  }

  async #line(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the broker has ended');
    return line.value;
  }
}
