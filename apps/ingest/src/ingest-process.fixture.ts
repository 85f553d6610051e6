import 'reflect-metadata';

import { runService } from '@millrace/runtime';
import { setClockWrong } from '@millrace/testing';

import { readConfig } from './config.ts';
import { silenceTimesDefault } from './core/silence.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';

/**
 * ingest as a process: `ingest-process.fixture.ts PREFIX SILENT_MS CLOCK_OFFSETS`. The prefix its
 * topics' names bear, SILENT_MS is when a job counts as silent, and the offsets, with commas
 * between, are how wrong its clock is.
 */
const [topicPrefix = '', silentMs = '', offsets = '0'] = process.argv.slice(2);
setClockWrong(offsets.split(',').map(Number));
const silence =
  silentMs === ''
    ? silenceTimesDefault
    : { silentMs: Number(silentMs), republishMsMax: Number(silentMs), lookEveryMs: 100 };

await runService({
  name: 'ingest',
  config: readConfig,
  module: (config) => IngestModule.forConfig(config, { topicPrefix, silence }),
  http: httpOptions,
});
