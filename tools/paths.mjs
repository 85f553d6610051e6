/** Where things lie in the repository. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repoRoot = dirname(dirname(fileURLToPath(import.meta.url)));

/** Kafka's jars: fetched once, used by every stack of this checkout. */
export const kafkaLibsFolder = join(repoRoot, '.millrace', 'kafka', 'libs');

export const migrationsFolder = join(repoRoot, 'deploy', 'migrations');

/** Data, logs, secrets and pids of the stack that `npm start` runs. */
export const homeFolder = process.env['MILLRACE_HOME'] || join(repoRoot, '.millrace');
