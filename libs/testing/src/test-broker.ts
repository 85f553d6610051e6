import { KafkaProxy } from './kafka-proxy.ts';
import { ToolProcess } from './tool-process.ts';

/** A Kafka of one spec's own behind a proxy: it may be killed, and its answers spoiled. */
export class TestBroker {
  private constructor(
    readonly proxy: KafkaProxy,
    private readonly process: ToolProcess,
  ) {}

  /** @param properties of the broker, as `name=value` */
  static async start(properties: readonly string[] = []): Promise<TestBroker> {
    const proxy = await KafkaProxy.start();
    const process = new ToolProcess('broker.mjs', [String(proxy.port), ...properties]);
    proxy.upstreamPort = Number(await process.line());
    return new TestBroker(proxy, process);
  }

  /** By way of the proxy, as clients find it. */
  get brokers(): string[] {
    return [`127.0.0.1:${this.proxy.port}`];
  }

  /** With -9. Resolves when it is dead. */
  async kill(): Promise<void> {
    await this.process.ask('kill');
  }

  /** Resolves when it answers again. */
  async restart(): Promise<void> {
    await this.process.ask('start');
  }

  async stop(): Promise<void> {
    await this.process.end();
    await this.proxy.stop();
  }
}
