/** Every project's specs in one process; `e2e` is started by itself (`tools/test.mjs`). */
export default {
  projects: ['<rootDir>/apps/*', '<rootDir>/libs/*', '<rootDir>/tools', '<rootDir>/chaos'],
};
