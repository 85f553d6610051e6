/**
 * Before the services start: migrations, the roles' passwords, and the topics of the topic table.
 * Safe to run again. Reads DATABASE_URL (the owner's), KAFKA_BROKERS and <ROLE>_PASSWORD.
 */
import { join } from 'node:path';

import { migrate } from '@millrace/postgres';
import pg from 'pg';

import { createTopics } from '../tools/stack/topics.mjs';

/** Every role that a service logs in with. */
const roles = [
  'ingest',
  'ingest_api',
  'claude_worker',
  'agent_orchestrator',
  'tool_runner',
  'tool_runner_api',
  'webhook_dispatcher',
];

/** @param {string} name */
function required(name) {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`set ${name}`);
  return value;
}

const connectionString = required('DATABASE_URL');
const directory = join(import.meta.dirname, 'migrations');
await migrate({ databaseUrl: connectionString, directory, log: console.log });

const client = new pg.Client({ connectionString });
await client.connect();
for (const role of roles) {
  const password = required(`${role.toUpperCase()}_PASSWORD`);
  const { rows } = await client.query(
    "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text) AS statement",
    [role, password],
  );
  await client.query(rows[0].statement);
}
await client.end();

const [broker = ''] = required('KAFKA_BROKERS').split(',');
console.log(`${await createTopics(broker)} topics`);
