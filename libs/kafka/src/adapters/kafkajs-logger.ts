import type { Logger } from '@millrace/runtime';
import type { LogEntry, logCreator } from 'kafkajs';
import { logLevel } from 'kafkajs';

/** While Kafka is away kafkajs says so many times a second; once in this time is enough. */
const warningEveryMs = 10_000;

/** kafkajs's lines as ours. It repeats what it reports by its promises and events: less loud. */
export function kafkajsLogger(log: Logger): logCreator {
  let warnedAtMs = 0;
  return () => (entry: LogEntry) => {
    const { message, timestamp: _timestamp, stack: _stack, ...details } = entry.log;
    const line = { kafkajs: entry.namespace, ...details };
    const nowMs = Date.now();
    if (entry.level !== logLevel.ERROR || nowMs - warnedAtMs < warningEveryMs) {
      log.debug(line, message);
      return;
    }
    warnedAtMs = nowMs;
    log.warn(line, message);
  };
}
