import type { Writable } from 'node:stream';

/** Who has read enough, `head` say, closes its end: what is left to say has no reader. */
export function allowNoReader(output: Writable): void {
  output.on('error', (error) => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error;
  });
}
