/** A peer's process: says when it is ready, then runs so many agents whenever it is asked to. */
import { inLanes } from '../lanes.mjs';

/**
 * What the bench gives a peer.
 * @type {{ home: string, postgresUrl: string, modelPort: number, toolPort: number,
 *   opening: string }}
 */
export const settings = JSON.parse(process.argv[2] ?? '{}');

/**
 * @param {() => Promise<(id: string) => Promise<void>>} start what runs one agent to its end
 * @param {() => void} [end] before the process goes
 */
export async function servePeer(start, end = () => undefined) {
  process.on('disconnect', () => {
    end();
    process.exit(0);
  });
  let runAgent;
  try {
    runAgent = await start();
  } catch (error) {
    process.send({ error: `it did not start: ${error.message}` });
    return;
  }
  process.on('message', (size) => {
    inLanes(size, (n) => runAgent(`${size.label}-${n}`)).then(
      (seconds) => process.send({ seconds }),
      (error) => process.send({ error: error.message }),
    );
  });
  process.send({ ready: true });
}
