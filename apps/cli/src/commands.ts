import type { Command } from './command.ts';
import { getDeadLetter } from './commands/get-dead-letter.ts';
import { listDeadLetters } from './commands/list-dead-letters.ts';
import { cancelJob } from './commands/cancel-job.ts';
import { getJob } from './commands/get-job.ts';
import { listJobs } from './commands/list-jobs.ts';

/** Every command, in the order in which the help shows them. */
export const commands: readonly Command[] = [
  listJobs,
  getJob,
  cancelJob,
  listDeadLetters,
  getDeadLetter,
];
