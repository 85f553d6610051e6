import type { Linger } from '@millrace/runtime';

/**
 * How long a statement that settles calls or tool executions waits for company. Rows that were
 * claimed together end within some milliseconds of each other: without the wait the first of them
 * has a statement, a send to Kafka and a step of whoever follows to itself, and the others the
 * next. With it, and no wait behind it, agents make a third more steps with the same CPU. Below
 * this rate it would bring few together.
 */
export const settleLinger: Linger = { busyPerSecond: 400, lingerMs: 10, quietMs: 2 };
