import type { Logger } from '@millrace/runtime';
import type { LogEntry, logCreator } from 'kafkajs';
import { logLevel } from 'kafkajs';

/** kafkajs's lines as ours. It repeats what it reports by its promises and events: less loud. */
export function kafkajsLogger(log: Logger): logCreator {
  return () => (entry: LogEntry) => {
    const { message, timestamp: _timestamp, stack: _stack, ...details } = entry.log;
    const line = { kafkajs: entry.namespace, ...details };
    if (entry.level === logLevel.ERROR) log.warn(line, message);
    else log.debug(line, message);
  };
}
