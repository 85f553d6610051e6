/** The part of kafkajs that its own types do not tell. */
declare module 'kafkajs/src/protocol/requests/produce/index.js' {
  interface ProduceArguments {
    readonly acks: number;
    readonly timeout: number;
    readonly transactionalId?: string | null;
    readonly compression?: number;
    readonly topicData: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly messages: readonly {
          readonly key?: Buffer | string | null;
          readonly value: Buffer | string | null;
          readonly headers?: Readonly<
            Record<string, Buffer | string | readonly (Buffer | string)[]>
          >;
        }[];
      }[];
    }[];
  }
  interface ProduceProtocol {
    readonly request: { encode(): Promise<{ readonly buffer: Buffer }> };
    readonly response: object;
  }
  const produce: {
    protocol(options: {
      version: number | string;
    }): ((args: ProduceArguments) => ProduceProtocol) | undefined;
  };
  export = produce;
}

declare module 'kafkajs/src/protocol/encoder.js' {
  class Encoder {
    constructor(initialSize?: number);
    buf: Buffer;
    offset: number;
    readonly buffer: Buffer;
  }
  export = Encoder;
}
