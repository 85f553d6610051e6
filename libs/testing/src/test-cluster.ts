import { ToolProcess } from './tool-process.ts';

/**
 * A Kafka of three brokers, each partition on all of them: any but the first, which is the
 * controller too, may be killed, and others lead what it led.
 */
export class TestCluster {
  private constructor(
    private readonly process: ToolProcess,
    readonly brokers: readonly string[],
  ) {}

  static async start(): Promise<TestCluster> {
    const process = new ToolProcess('brokers.mjs');
    const ports = await process.line();
    return new TestCluster(
      process,
      ports.split(' ').map((port) => `127.0.0.1:${port}`),
    );
  }

  /** With -9. Resolves when it is dead. @param node from 1, as Kafka names it */
  async kill(node: number): Promise<void> {
    await this.process.ask(`kill ${node}`);
  }

  /** Resolves when it answers again. */
  async restart(node: number): Promise<void> {
    await this.process.ask(`start ${node}`);
  }

  async stop(): Promise<void> {
    await this.process.end();
  }
}
