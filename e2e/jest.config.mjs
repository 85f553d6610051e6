import { jestProject } from '../jest.preset.mjs';

// The stories start the local stack, so they are never part of the unit or integration run.
export default {
  ...jestProject('e2e', import.meta.dirname),
  testMatch: ['**/*.spec.ts'],
  testTimeout: 180_000,
};
