export type { Pool, PoolClient } from 'pg';
export * from './bad-row-error.ts';
export * from './blobs.ts';
export { isConnectionLost } from './connection-lost.ts';
export * from './group-commit.ts';
export * from './migrate.ts';
export * from './outbox.ts';
export * from './outbox-rows.ts';
export { createPool, databaseNow, inTransaction, type PoolOptions } from './pool.ts';
