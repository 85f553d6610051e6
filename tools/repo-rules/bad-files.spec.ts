import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, jest } from '@jest/globals';

import { findFiles, root } from './repository.ts';

/** Loading ESLint with types and lint of all texts takes seconds. */
jest.setTimeout(120_000);

function firstOf(pattern: string): string {
  const [first] = findFiles(pattern).filter((path) => !path.endsWith('.spec.ts'));
  if (first === undefined) throw new Error(`no file matches ${pattern}`);
  return first;
}

const boundary = '@nx/enforce-module-boundaries';
const syntax = 'no-restricted-syntax';
const imports = '@typescript-eslint/no-restricted-imports';
const globals = 'no-restricted-globals';

const app = 'apps/ingest/src/main.ts';
const cli = 'apps/cli/src/main.ts';
const contracts = 'libs/contracts/src/index.ts';
const runtime = 'libs/runtime/src/index.ts';
const kafka = 'libs/kafka/src/index.ts';
const egress = 'libs/egress/src/index.ts';
const config = 'apps/ingest/src/config.ts';
const spec = 'libs/contracts/src/ids.spec.ts';
const core = firstOf('apps/ingest/src/core/*.ts');

type BadFile = readonly [what: string, filePath: string, code: string, ruleId: string | null];

const badFiles: readonly BadFile[] = [
  ['an app that imports an app', app, "import '@millrace/claude-worker';", imports],
  [
    'an app that imports an app by path',
    app,
    "export * from '../../claude-worker/src/config.ts';",
    boundary,
  ],
  ['an app that imports the test lib', app, "export * from '@millrace/testing';", boundary],
  ['an app that imports kafkajs', app, "export * from 'kafkajs';", boundary],
  ['an app that imports pg', app, "export * from 'pg';", boundary],
  ['ingest that imports the Claude SDK', app, "export * from '@anthropic-ai/sdk';", boundary],
  ['the command line that imports runtime', cli, "export * from '@millrace/runtime';", boundary],
  ['an app that imports tools', app, "export * from '../../../tools/x.ts';", imports],
  ['contracts that import a lib', contracts, "export * from '@millrace/runtime';", boundary],
  ['contracts that import a package', contracts, "export * from 'pino';", boundary],
  ['runtime that imports kafka', runtime, "export * from '@millrace/kafka';", boundary],
  ['kafka that imports postgres', kafka, "export * from '@millrace/postgres';", boundary],
  ['egress that imports runtime', egress, "export * from '@millrace/runtime';", boundary],
  ['a lib that imports an app', kafka, "export * from '@millrace/ingest';", imports],

  ['core that imports node:fs', core, "export { readFileSync } from 'node:fs';", imports],
  ['core that imports Nest', core, "export { Injectable } from '@nestjs/common';", imports],
  ['core that imports runtime', core, "export { Logger } from '@millrace/runtime';", imports],
  ['core that imports its shell', core, "export { config } from '../config.ts';", imports],
  ['core that makes random bytes', core, "export { randomUUID } from 'node:crypto';", imports],
  ['core that awaits', core, 'export const f = async () => { await g(); };', syntax],
  ['core that makes a promise', core, 'export const p = Promise.resolve(1);', syntax],
  ['core that asks the clock', core, 'export const now = Date.now();', syntax],
  ['core that makes a date of now', core, 'export const now = new Date();', syntax],
  ['core that rolls dice', core, 'export const jitter = Math.random();', syntax],
  ['core that asserts a type', core, 'export const f = (x: unknown) => x as string;', syntax],
  ['core that reads the environment', core, 'export const v = process.env.HOME;', syntax],
  ['core that uses process', core, 'export const p = process.pid;', globals],
  ['core that sets a timer', core, 'setTimeout(() => undefined, 1);', globals],
  ['core that measures time', core, 'export const t = performance.now();', globals],
  ['core that logs', core, "console.log('x');", globals],
  ['core that fetches', core, "export const r = fetch('http://127.0.0.1');", globals],

  ['process.env outside config.ts', app, 'export const v = process.env.HOME;', syntax],
  ['any', app, 'export const x: any = 1;', '@typescript-eslint/no-explicit-any'],
  ['as any', app, 'export const x = 1 as any;', syntax],
  ['a double assertion', app, 'export const x = 1 as unknown as string;', syntax],
  ['a default export', app, 'export default 1;', syntax],
  ['an enum', app, "export enum Colour { Red = 'red' }", syntax],
  [
    'a change of rows that leaves out days twice',
    app,
    'export const q = `UPDATE t SET n = 1 FROM i WHERE t.day = i.day\nAND t.day BETWEEN $1 AND 2`;',
    syntax,
  ],
  [
    'four arguments',
    app,
    'export function f(a: 1, b: 1, c: 1, d: 1) { return [a, b, c, d]; }',
    syntax,
  ],
  [
    'a promise that nobody waits for',
    app,
    'declare function f(): Promise<void>; f();',
    '@typescript-eslint/no-floating-promises',
  ],
  [
    'a switch that forgets a case',
    app,
    "export function f(x: 'a' | 'b') { switch (x) { case 'a': return 1; } return 2; }",
    '@typescript-eslint/switch-exhaustiveness-check',
  ],
  ['console.log in a service', app, "console.log('x');", 'no-console'],
  ['a line of 101 columns', app, `// ${'x'.repeat(98)}`, 'max-len'],
  ['a comment that turns lint off', app, '/* eslint-disable */\nexport const x = 1;', null],
];

const goodFiles: readonly (readonly [what: string, filePath: string, code: string])[] = [
  ['config.ts reads the environment', config, 'export const v = process.env.HOME;\n'],
  ['core hashes', core, "export { createHash } from 'node:crypto';\n"],
  ['core makes a date of a number', core, 'export const f = (n: number) => new Date(n);\n'],
  ['core imports contracts', core, "export { jobIdSchema } from '@millrace/contracts';\n"],
  ['a spec imports the test lib', spec, "import '@millrace/testing';\n"],
];

interface Finding {
  readonly ruleId: string | null;
  readonly message: string;
}

let findings: readonly (readonly Finding[])[] = [];

describe('lint', () => {
  beforeAll(() => {
    const texts = [...badFiles, ...goodFiles].map(([, filePath, code]) => ({ filePath, code }));
    const output = execFileSync(
      process.execPath,
      [join(root, 'tools/repo-rules/lint-texts.mjs')],
      { cwd: root, input: JSON.stringify(texts), encoding: 'utf8' },
    );
    findings = JSON.parse(output);
  });

  it.each(badFiles.map((file, index) => [...file, index] as const))(
    'refuses %s',
    (_what, _filePath, _code, ruleId, index) => {
      expect(findings[index]!.map((finding) => finding.ruleId)).toContain(ruleId);
    },
  );

  it.each(goodFiles.map((file, index) => [...file, index] as const))(
    'lets %s',
    (_what, _filePath, _code, index) => {
      expect(findings[badFiles.length + index]).toEqual([]);
    },
  );
});
