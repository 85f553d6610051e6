import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import js from '@eslint/js';
import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';

/*
 * The rules of CONTRIBUTING.md that a machine can hold. Every message names the fix.
 * `tools/repo-rules/bad-files.spec.ts` lints bad code and fails when one of them sleeps. The
 * boundary rule needs Nx's project graph: without it, it passes in silence, so `npm run lint`
 * builds the graph first.
 */

/** Specs, and what they run. */
const specs = ['**/*.spec.ts', '**/*.fixture.ts'];
const core = ['{apps,libs}/*/src/core/**/*.ts'];
const configs = ['**/config.ts'];

/** What each kind of project may import: inward only. */
function dependencyDirection({ specs }) {
  const testing = specs ? ['lib:testing'] : [];
  const allow = (sourceTag, ...libs) => ({
    sourceTag,
    onlyDependOnLibsWithTags: [...libs.map((lib) => `lib:${lib}`), ...testing],
  });
  const apps = ['contracts', 'runtime', 'kafka', 'postgres', 'work', 'egress'];
  const engines = specs ? {} : { bannedExternalImports: ['kafkajs', 'pg', 'node-pg-migrate'] };
  const onlyZod = { allowedExternalImports: specs ? ['*'] : ['zod'] };
  return [
    { ...allow('kind:app', ...apps), ...engines },
    { sourceTag: 'app:cli', onlyDependOnLibsWithTags: ['lib:contracts', ...testing] },
    { sourceTag: 'app:ingest', bannedExternalImports: specs ? [] : ['@anthropic-ai/*'] },
    { sourceTag: 'app:agent-orchestrator', bannedExternalImports: ['@anthropic-ai/*', 'undici'] },
    { sourceTag: 'app:tool-runner', bannedExternalImports: ['@anthropic-ai/*', 'undici'] },
    { sourceTag: 'app:webhook-dispatcher', bannedExternalImports: ['@anthropic-ai/*'] },
    { ...allow('lib:contracts'), ...onlyZod },
    allow('lib:runtime', 'contracts'),
    allow('lib:kafka', 'contracts', 'runtime'),
    allow('lib:postgres', 'contracts', 'runtime'),
    allow('lib:work', 'contracts', 'runtime', 'postgres'),
    allow('lib:egress', 'contracts'),
    allow('lib:sdk', 'contracts'),
    allow('lib:testing', 'contracts', 'runtime', 'kafka', 'postgres'),
  ];
}

function boundaries({ specs }) {
  const testedByTesting = ['contracts', 'runtime', 'kafka', 'postgres'];
  return [
    'error',
    {
      allow: [],
      depConstraints: dependencyDirection({ specs }),
      // A lib's specs may use @millrace/testing, which builds on that lib.
      ignoredCircularDependencies: specs
        ? testedByTesting.map((lib) => [`@millrace/${lib}`, '@millrace/testing'])
        : [],
    },
  ];
}

const everywhere = [
  {
    selector: 'ExportDefaultDeclaration',
    message: 'Export by name: a default export is renamed at every import.',
  },
  {
    selector: 'TSEnumDeclaration',
    message: "Use a union of strings, or an object 'as const': an enum is code of its own.",
  },
  {
    selector: 'TSAsExpression > TSAnyKeyword',
    message: "Parse with the contract's schema, or narrow from unknown, instead of 'as any'.",
  },
  {
    selector: 'TSAsExpression > TSAsExpression.expression',
    message: "Parse with the contract's schema instead of a double assertion.",
  },
];

/** PostgreSQL 18 loses rows by it: see `sameDay`. */
const daysTwice = {
  selector:
    'TemplateElement[value.raw=/^' +
    String.raw`(?=[^]*\b(UPDATE|DELETE)\b)(?=[^]*day BETWEEN \$)` +
    String.raw`(?=[^]*(\.day = \w+\.day|USING \([^)]*\bday\b))/]`,
  message: "Compare the day by sameDay() in a statement that changes rows of a range of days.",
};

const optionsObject = {
  selector:
    'FunctionDeclaration[params.length>3], ArrowFunctionExpression[params.length>3], ' +
    "MethodDefinition[kind!='constructor'] > FunctionExpression[params.length>3]",
  message: 'More than three arguments: take one options object.',
};

const environment = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: 'Read the environment in config.ts only (one zod schema per service) and pass values.',
};

const pure = [
  {
    selector: 'AwaitExpression, ForOfStatement[await=true], :function[async=true]',
    message: 'core/ is synchronous: load before, decide here, commit after. Move the await out.',
  },
  {
    selector: 'ImportExpression',
    message: 'core/ is synchronous: import at the top of the file.',
  },
  {
    selector: "NewExpression[callee.name='Promise'], MemberExpression[object.name='Promise']",
    message: 'core/ is synchronous: return what is to be done as data, the shell does it.',
  },
  {
    selector:
      "NewExpression[callee.name='Date'][arguments.length=0], CallExpression[callee.name='Date']",
    message: 'core/ has no clock: take `now` as an argument.',
  },
  {
    selector: "MemberExpression[object.name='Date'][property.name='now']",
    message: 'core/ has no clock: take `now` as an argument.',
  },
  {
    selector: "MemberExpression[object.name='Math'][property.name='random']",
    message: 'core/ has no randomness: take the number (jitter, id) as an argument.',
  },
  {
    selector: "TSAsExpression:not([typeAnnotation.typeName.name='const'])",
    message: "core/ has parsed values: change the type or parse at the edge; no 'as'.",
  },
  {
    selector: 'Decorator',
    message: 'core/ knows no framework: decorate the shell.',
  },
];

const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];
const impureGlobals = [
  { name: 'process', message: 'core/ has no environment: pass the value in.' },
  { name: 'performance', message: 'core/ has no clock: take `now` as an argument.' },
  { name: 'crypto', message: 'core/ has no randomness: take the id as an argument.' },
  { name: 'fetch', message: 'core/ has no IO: return a command, the shell runs it.' },
  { name: 'console', message: 'core/ has no IO: return what is to be logged.' },
  ...timers.map((name) => ({ name, message: 'core/ has no timers: return a time, not a timer.' })),
];

/** Packages and node: modules that compute and nothing else. */
const pureImports = [
  '@millrace/contracts',
  '@millrace/egress/core',
  'zod',
  'ipaddr\\.js',
  'json-schema-library',
  'liquidjs',
  're2js',
  'node:(?:buffer|crypto|net|url)',
];

const impureImports = {
  paths: [
    {
      name: 'node:crypto',
      allowImportNames: [
        'createHash',
        'createHmac',
        'createSecretKey',
        'KeyObject',
        'timingSafeEqual',
      ],
      message: 'core/ has no randomness: only hashes. Take ids and random numbers as arguments.',
    },
    {
      name: 'node:net',
      allowImportNames: ['isIP', 'isIPv4', 'isIPv6'],
      message: 'core/ has no IO: only the address tests of node:net.',
    },
  ],
  patterns: [
    {
      regex: `^(?!\\.|(?:${pureImports.join('|')})$)`,
      allowTypeImports: true,
      message: 'core/ imports contracts, zod and its neighbours only: pass the rest in as data.',
    },
    {
      regex: '^\\.\\./',
      message: 'core/ imports nothing from outside core/: shells and adapters import core.',
    },
  ],
};

const appNames = readdirSync(join(import.meta.dirname, 'apps')).join('|');
const apps = {
  regex: `^@millrace/(?:${appNames})(?:/|$)`,
  message: "An app is nobody's lib: talk by events, or move what two apps need into libs/.",
};
const outsideProjects = [
  apps,
  {
    regex: '^(\\.\\./)+(tools|bench|chaos|e2e|examples|deploy)/',
    message: 'What ships imports nothing from tools/, bench/, chaos/ or e2e/: move it into a lib.',
  },
];

export default tseslint.config(
  {
    ignores: ['**/dist/**', '**/node_modules/**', '.millrace/**', '.nx/**', 'coverage/**'],
  },
  {
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' },
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { project: ['./tsconfig.json'], tsconfigRootDir: import.meta.dirname },
    },
    plugins: { '@nx': nx },
    rules: {
      '@nx/enforce-module-boundaries': boundaries({ specs: false }),
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      // An async method without await is how a port is kept by an in-memory fake.
      '@typescript-eslint/require-await': 'off',
      'no-restricted-syntax': ['error', ...everywhere, optionsObject, environment, daysTwice],
      '@typescript-eslint/no-restricted-imports': ['error', { patterns: outsideProjects }],
    },
  },
  {
    files: ['**/*.{mjs,js}'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          ...['process', 'console', 'Buffer', 'URL', 'URLSearchParams', 'fetch', 'performance'],
          ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate'],
          ...['AbortController', 'AbortSignal', 'TextDecoder', 'TextEncoder', 'structuredClone'],
          ...['Response', 'Headers', 'queueMicrotask', 'crypto'],
        ].map((name) => [name, 'readonly']),
      ),
    },
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }] },
  },
  {
    // What a browser has.
    files: ['examples/browser/page/*.mjs'],
    languageOptions: {
      globals: Object.fromEntries(
        ['document', 'window', 'location', 'EventSource'].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    rules: {
      'max-len': ['error', { code: 100, ignoreUrls: true, ignoreRegExpLiterals: true }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'off',
      'prefer-const': 'error',
    },
  },
  {
    files: ['{apps,libs}/**/*.ts'],
    rules: {
      'no-console': 'error',
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: [...configs, 'libs/testing/**/*.ts', '{tools,e2e,bench,chaos}/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', ...everywhere, optionsObject] },
  },
  {
    // None of them ships.
    files: ['{e2e,bench,chaos}/**/*.ts'],
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [apps] }] },
  },
  {
    files: [...specs, 'e2e/**/*.ts', '{bench,chaos}/**/*.ts'],
    rules: {
      '@nx/enforce-module-boundaries': boundaries({ specs: true }),
      // A spec states what it knows; the assertion that follows fails when it is wrong.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      'max-lines-per-function': 'off',
    },
  },
  {
    // What Nest injects into a factory is one argument each.
    files: ['**/*.module.ts'],
    rules: { 'no-restricted-syntax': ['error', ...everywhere, environment] },
  },
  {
    // A table's row is spread over as many arguments as it has columns.
    files: specs,
    ignores: ['{tools,e2e,bench,chaos}/**'],
    rules: { 'no-restricted-syntax': ['error', ...everywhere, environment] },
  },
  {
    files: ['{tools,e2e,bench,chaos}/**/*.spec.ts'],
    rules: { 'no-restricted-syntax': ['error', ...everywhere] },
  },
  {
    files: core,
    ignores: specs,
    rules: {
      'no-restricted-syntax': ['error', ...everywhere, optionsObject, environment, ...pure],
      'no-restricted-globals': ['error', ...impureGlobals],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { ...impureImports, patterns: [...impureImports.patterns, ...outsideProjects] },
      ],
    },
  },
);
