import { jestProject } from '../jest.preset.mjs';

// The stories share one local stack, so they are never part of the unit or integration run.
export default {
  ...jestProject('e2e', import.meta.dirname),
  testMatch: ['**/*.spec.ts'],
  testTimeout: 180_000,
  globalSetup: './start-stack.mjs',
  globalTeardown: './stop-stack.mjs',
};
