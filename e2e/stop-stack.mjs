/** Stops the stories' stack (jest globalTeardown); what it logged is kept when CI asks for it. */
import { rmSync } from 'node:fs';

export default async function stop() {
  const { stack, home } = globalThis.millraceStories;
  await stack.stop();
  if (process.env.MILLRACE_KEEP_HOME === undefined) rmSync(home, { recursive: true, force: true });
  else console.log(`the stories' stack is kept in ${home}`);
}
