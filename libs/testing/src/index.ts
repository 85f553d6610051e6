export * from './kafka-reader.ts';
export * from './kafka-topics.ts';
export * from './test-database.ts';
export * from './fake-claude-server.ts';
export * from './postgres-proxy.ts';
export * from './kafka-proxy.ts';
export * from './test-broker.ts';
export * from './child-program.ts';
