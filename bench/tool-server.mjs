/**
 * The bench's HTTP tool: answers at once with what it was asked, and counts.
 *
 * node bench/tool-server.mjs PORT
 */
import { createServer } from 'node:http';

let calls = 0;

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    calls += 1;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ saw: JSON.parse(body).arguments }));
  });
});
server.keepAliveTimeout = 60_000;

process.on('message', () => process.send({ calls }));
process.on('disconnect', () => process.exit(0));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.send({ port: server.address().port });
});
