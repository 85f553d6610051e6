export * from './interruption.ts';
export * from './settle-linger.ts';
export * from './work-event.ts';
export * from './work-policy.ts';
export * from './work-queue.ts';
