/**
 * Event streams, on a stack of its own with two replicas of ingest and a labelled model server.
 *
 * What is counted: streams that were cut at random points and resumed at the other replica, and
 * texts that came out otherwise than the result; what the way through the pipeline adds to a first
 * token; and what each of many open streams costs an ingest that holds nothing else.
 */
import { openBench } from './bench-stack.mjs';
import { figure, figuresOf, percentile, round } from './figures.mjs';
import { addedToFirstToken } from './first-token.mjs';
import { cutStreams } from './stream-cuts.mjs';
import { memoryOfOpenStreams } from './stream-memory.mjs';

const fullSize = {
  cuts: { jobs: 250, atOnce: 50, cutsEach: 4 },
  firstTokens: 60,
  open: 2_000,
};
const shortSize = {
  cuts: { jobs: 6, atOnce: 6, cutsEach: 4 },
  firstTokens: 10,
  open: 100,
};
/** Of what came out otherwise; the rest is only counted. */
const brokenShown = 3;

/**
 * @param {{ short: boolean, cpuProf?: string }} options
 * @returns the rows of the figures
 */
export async function benchStreams({ short, cpuProf }) {
  const size = short ? shortSize : fullSize;
  const bench = await openBench({
    cpuProf,
    services: ['ingest', 'claude-worker'],
    replicas: { ingest: 2 },
    preload: { ingest: 'memory-report.mjs' },
  });
  try {
    return [
      ...(await cutFigures(bench, size.cuts)),
      ...(await firstTokenFigures(bench, size.firstTokens)),
      ...(await memoryFigures(bench, size.open)),
    ];
  } finally {
    await bench.close();
  }
}

function cutFigures(bench, size) {
  const [cuts, broken] = ['streams/cuts', 'streams/broken-texts'];
  return figuresOf([cuts, broken], async () => {
    const found = await cutStreams(bench, size);
    const seen = found.broken.slice(0, brokenShown).join('; ');
    const none = `0 of ${found.cuts}: with 95 % certainty below ${round(300 / found.cuts)} %`;
    return [
      figure(cuts, [found.cuts], `of ${size.jobs} streams, each resumed at another replica`),
      figure(broken, [found.broken.length], seen || none),
    ];
  });
}

function firstTokenFigures(bench, count) {
  const name = 'streams/first-token-p50';
  return figuresOf([name], async () => {
    const added = await addedToFirstToken(bench, count);
    return [figure(name, [percentile(added, 50)], `over a direct call, n = ${count}`)];
  });
}

function memoryFigures(bench, count) {
  const [open, each] = ['streams/open', 'streams/memory'];
  return figuresOf([open, each], async () => {
    const found = await memoryOfOpenStreams(bench, count);
    const live = `live objects and buffers: ${round(found.liveKibEach)}`;
    const ends = `at once on one process, of ${found.jobs} jobs`;
    return [
      figure(open, [found.ended], `${ends}; those that saw the end of ${found.open}`),
      figure(each, [found.kibEach], `RSS of a fresh process, all garbage collected; ${live}`),
    ];
  });
}
