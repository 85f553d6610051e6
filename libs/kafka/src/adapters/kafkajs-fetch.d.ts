/** The part of kafkajs that its own types do not tell. */
declare module 'kafkajs/src/protocol/requests/fetch/index.js' {
  interface FetchArguments {
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly fetchOffset: string | bigint | number;
      }[];
    }[];
  }
  interface FetchedRecord {
    readonly offset: string;
    readonly value: Buffer | null;
    readonly headers: Readonly<Record<string, Buffer>>;
  }
  interface FetchAnswer {
    readonly responses: readonly {
      readonly topicName: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly messages: readonly FetchedRecord[];
      }[];
    }[];
  }
  interface FetchProtocol {
    readonly response: {
      decode(answer: Buffer): Promise<FetchAnswer>;
      parse(data: object): object;
    };
  }
  const fetch: {
    protocol(options: {
      version: number | string;
    }): ((args: FetchArguments) => FetchProtocol) | undefined;
  };
  export = fetch;
}
