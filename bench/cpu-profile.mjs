/**
 * Loaded into a service by `npm run bench -- NAME --cpu-prof DIR` (node --import): writes a CPU
 * profile of the process's whole life when it ends, as `--cpu-prof` does, which Node does not take
 * from NODE_OPTIONS.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { basename, dirname, join } from 'node:path';

const folder = process.env.MILLRACE_BENCH_CPU_PROF;
const samplingIntervalUs = 500;

if (folder && process.argv[1]?.endsWith('dist/main.js')) {
  const name = basename(dirname(dirname(process.argv[1])));
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: samplingIntervalUs });
  session.post('Profiler.start');
  process.on('exit', () => {
    mkdirSync(folder, { recursive: true });
    session.post('Profiler.stop', (error, { profile }) => {
      if (error) throw error;
      writeFileSync(join(folder, `${name}-${process.pid}.cpuprofile`), JSON.stringify(profile));
    });
  });
}
