import { swcOptions } from './tools/swc-options.mjs';

/**
 * One project's jest configuration. Tests read the sources of every lib (the condition
 * `millrace:source`), so they need no build.
 *
 * `MILLRACE_SPECS` chooses what runs: `unit` (the default: `*.spec.ts` without IO) or `int`
 * (`*.int.spec.ts`: real Kafka and Postgres, one file after the other's own topics and database).
 *
 * @param {string} displayName
 * @param {string} rootDir
 * @returns {import('jest').Config}
 */
export function jestProject(displayName, rootDir) {
  const integration = process.env.MILLRACE_SPECS === 'int';
  return {
    displayName,
    rootDir,
    testEnvironment: 'node',
    testEnvironmentOptions: {
      customExportConditions: ['millrace:source', 'node', 'node-addons'],
    },
    extensionsToTreatAsEsm: ['.ts'],
    moduleFileExtensions: ['ts', 'mjs', 'js', 'json', 'node'],
    transform: { '\\.ts$': ['@swc/jest', swcOptions] },
    testMatch: integration ? ['**/*.int.spec.ts'] : ['**/*.spec.ts'],
    testPathIgnorePatterns: [
      '/node_modules/',
      '/dist/',
      ...(integration ? [] : ['\\.int\\.spec\\.ts$']),
    ],
    modulePathIgnorePatterns: ['/dist/', '<rootDir>/.millrace/'],
    setupFiles: ['reflect-metadata'],
  };
}
