import { runner } from 'node-pg-migrate';
import pg from 'pg';

export interface MigrateOptions {
  /** URL of the role that is to own the tables; it must be allowed to create roles. */
  readonly databaseUrl: string;
  /** Folder of plain `NNNN_<name>.sql` files. */
  readonly directory: string;
  readonly log?: (line: string) => void;
}

/**
 * Applies the migrations that are missing, all in one transaction: after a failure the database
 * is as before. A second caller waits for the first and then finds nothing to do.
 * @returns the names of those applied now.
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  const log = options.log ?? (() => undefined);
  const client = new pg.Client({ connectionString: options.databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  let current: string | undefined;
  try {
    const applied = await runner({
      dbClient: client,
      dir: options.directory,
      direction: 'up',
      migrationsTable: 'migrations',
      migrationsSchema: 'millrace',
      createMigrationsSchema: true,
      // Each service numbers its own decade of files, so a new file of one may stand before an
      // applied one of another.
      checkOrder: false,
      singleTransaction: true,
      ignorePattern: '(?!.*\\.sql$).*',
      advisoryLockMode: 'wait',
      logger: listener((name) => (current = name)),
    });
    for (const { name } of applied) log(`migration ${name} applied`);
    if (applied.length === 0) log('migrations: nothing to apply');
    return applied.map(({ name }) => name);
  } catch (error) {
    if (current === undefined) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const message = `migration ${current} failed, nothing was applied: ${reason}`;
    throw new Error(message, { cause: error });
  } finally {
    await client.end();
  }
}

/**
 * The runner prints every statement of a migration that fails, and its errors do not say in which
 * file they arose. So nothing of it is printed, and only the headings are read.
 */
function listener(onMigration: (name: string) => void) {
  const quiet = (): void => undefined;
  return {
    debug: quiet,
    warn: quiet,
    error: quiet,
    info: (line: string): void => {
      const name = /^### MIGRATION (\S+) \(UP\) ###$/.exec(line)?.[1];
      if (name !== undefined) onMigration(name);
    },
  };
}
