/**
 * The bench's webhook receiver: notes when each job's webhook came, by job id, and answers 200.
 * Signatures are verified in `e2e/`, not here: its CPU is to stay small.
 *
 * node bench/receiver.mjs PORT
 */
import { createServer } from 'node:http';

const arrivals = new Map();
let duplicates = 0;

function note(body) {
  const jobId = JSON.parse(body).job_id;
  if (arrivals.has(jobId)) duplicates += 1;
  else arrivals.set(jobId, performance.timeOrigin + performance.now());
}

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    if (request.method === 'POST') note(body);
    response.end();
  });
});
server.keepAliveTimeout = 60_000;

process.on('message', (ask) => {
  if (ask === 'clear') {
    arrivals.clear();
    duplicates = 0;
  }
  const full = ask === 'dump' ? [...arrivals] : [];
  process.send({ count: arrivals.size, duplicates, arrivals: full });
});
process.on('disconnect', () => process.exit(0));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.send({ port: server.address().port });
});
