/** The command line of `npm start` and its sisters. Needs nothing installed. */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { repoRoot } from '../paths.mjs';
import { replicasMax } from '../stack/replicas.mjs';
import { codeOf, StackError } from '../stack/stack-error.mjs';

const documentBytesMax = 200 * 1024;
const documentDefault = 'examples/the-mill-on-the-race.md';

export const usage = `npm start                     start everything, do the sample job, stay up
npm start -- --file PATH      … with a text of your own (UTF-8, at most 200 KB)
npm start -- --once           … and stop after the job; exit status 0 when it went well
npm start -- --no-sample      … without the job
npm start -- --replicas 2     … with two processes of each service
npm start -- --reset          remove all data first
npm run dev                   the same, and restart services when sources change
npm run status                what runs                (from another terminal)
npm stop                      stop it                  (from another terminal)`;

/**
 * @typedef {{ path: string, text: string }} SampleDocument
 * @typedef {object} Options
 * @property {'start' | 'dev' | 'status' | 'stop'} command
 * @property {SampleDocument | undefined} document undefined: no sample job
 * @property {boolean} once
 * @property {boolean} reset
 * @property {number} replicas
 */

/**
 * @param {readonly string[]} args
 * @returns {Options}
 */
export function parseOptions(args) {
  const { values, positionals } = parse(args);
  const command = positionals[0] ?? 'start';
  if (command !== 'start' && command !== 'dev' && command !== 'status' && command !== 'stop') {
    throw new StackError(`There is no command "${command}".\n\n${usage}`);
  }
  const once = values.once === true;
  const sample = values['no-sample'] !== true && (command === 'start' || values.file !== undefined);
  if (once && !sample) throw new StackError('--once does the sample job: not with --no-sample.');
  const document =
    sample && (command === 'start' || command === 'dev') ? readDocument(values.file) : undefined;
  const replicas = readReplicas(values.replicas);
  return { command, document, once, reset: values.reset === true, replicas };
}

/** @param {string | undefined} given @returns {number} */
function readReplicas(given) {
  const replicas = Number(given ?? '1');
  if (Number.isInteger(replicas) && replicas >= 1 && replicas <= replicasMax) return replicas;
  throw new StackError(`--replicas is "${given}": it must be a number from 1 to ${replicasMax}.`);
}

/** @param {readonly string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        file: { type: 'string' },
        once: { type: 'boolean' },
        reset: { type: 'boolean' },
        replicas: { type: 'string' },
        'no-sample': { type: 'boolean' },
      },
    });
  } catch (cause) {
    const [message] = (cause instanceof Error ? cause.message : String(cause)).split('. ');
    throw new StackError(`${message}.\n\n${usage}`, { cause });
  }
}

/**
 * npm runs scripts in the repository's folder: INIT_CWD is where the user is.
 * @param {string | undefined} given
 * @returns {SampleDocument}
 */
function readDocument(given) {
  const path =
    given === undefined
      ? resolve(repoRoot, documentDefault)
      : resolve(process.env['INIT_CWD'] ?? process.cwd(), given);
  const bytes = readBytes(path);
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new StackError(`--file ${path}: this is not UTF-8 text. Convert it first.`, { cause });
  }
  if (text.includes('\0')) throw new StackError(`--file ${path}: this is a binary file, not text.`);
  if (text.trim() === '') throw new StackError(`--file ${path}: there is no text in it.`);
  return { path, text };
}

/** @param {string} path */
function readBytes(path) {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new StackError(`--file ${path}: this is not a file.`);
    if (status.size > documentBytesMax) {
      const size = `${Math.ceil(status.size / 1024)} KB`;
      throw new StackError(`--file ${path}: ${size} is too large, the limit is 200 KB.`);
    }
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof StackError) throw cause;
    const code = codeOf(cause) ?? String(cause);
    const reason = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    throw new StackError(`--file ${path}: ${reason}.`, { cause });
  }
}
