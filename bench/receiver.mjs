/**
 * The bench's webhook receiver: notes when each job's webhook came, and answers 200. Signatures are
 * verified in `e2e/`, not here: its CPU is to stay small.
 *
 *   /            of a job's own callback: noted by the job's id
 *   /NAME        an endpoint's: noted as NAME and the job's id, with a blank between them
 *   /slow/NAME   not noted, and answered after a while
 *   /hang/NAME   not noted; a black hole as soon as the bench says `hang`
 *
 * node bench/receiver.mjs PORT
 */
import { createServer } from 'node:http';

const slowMs = 100;

const arrivals = new Map();
let duplicates = 0;
let hangs = false;

function note(place, body) {
  const told = JSON.parse(body);
  const job = told.job_id ?? told.data.job_id;
  const key = place === '' ? job : `${place} ${job}`;
  if (arrivals.has(key)) duplicates += 1;
  else arrivals.set(key, performance.timeOrigin + performance.now());
}

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const place = request.url.slice(1);
    if (place.startsWith('slow/')) return setTimeout(() => response.end(), slowMs);
    if (!place.startsWith('hang/')) note(place, body);
    else if (hangs) return;
    response.end();
  });
});
server.keepAliveTimeout = 60_000;

process.on('message', (ask) => {
  if (ask === 'clear') {
    arrivals.clear();
    duplicates = 0;
  }
  if (ask === 'hang') hangs = true;
  const full = ask === 'dump' ? [...arrivals] : [];
  process.send({ count: arrivals.size, duplicates, arrivals: full });
});
process.on('disconnect', () => process.exit(0));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.send({ port: server.address().port });
});
