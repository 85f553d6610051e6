import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

import { ESLint } from 'eslint';

/**
 * Lints texts as if they were files: reads `[{ filePath, code }]` from stdin and prints
 * `[[{ ruleId, message }]]`. A process of its own, because ESLint's plugins do not like to be
 * loaded inside a test's sandbox. The paths must exist, or the typed rules do not apply to them.
 */
// With CI=true typescript-eslint takes every file from the disk once, and would not see the texts.
process.env.TSESTREE_SINGLE_RUN = 'false';

const root = resolve(import.meta.dirname, '../..');
// Without a project graph the boundary rule passes in silence, as in a fresh clone.
execFileSync(process.execPath, [join(root, 'node_modules/.bin/nx'), 'show', 'projects'], {
  cwd: root,
  stdio: 'ignore',
});

const eslint = new ESLint({ cwd: root });
const results = [];
for (const { filePath, code } of JSON.parse(await text(process.stdin))) {
  const linted = await eslint.lintText(code, { filePath: join(root, filePath) });
  const messages = linted.flatMap((result) => result.messages);
  results.push(messages.map(({ ruleId, message }) => ({ ruleId, message })));
}
process.stdout.write(JSON.stringify(results));
