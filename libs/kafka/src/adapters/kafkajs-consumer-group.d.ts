/** The part of kafkajs that its own types do not tell. */
declare module 'kafkajs/src/consumer/consumerGroup.js' {
  class ConsumerGroup {
    constructor(options: object);
    /** When the last heartbeat was sent, by the machine's clock. */
    lastRequest: number;
    heartbeat: (this: ConsumerGroup, options: { readonly interval: number }) => Promise<void>;
  }
  export = ConsumerGroup;
}
