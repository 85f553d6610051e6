/**
 * A sample webhook receiver: what a subscriber would write. It verifies both signatures of every
 * delivery and refuses what it cannot verify.
 *
 *   POST /hooks      deliveries; any path that begins so
 *   GET  /received   the last 1,000, newest first, see `Received`
 *   PORT, WEBHOOK_SECRET (`whsec_…`, the tenant's)
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

import { webhookHeaders } from '@millrace/contracts';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

const keptMax = 1_000;
/** A delivery's body is at most 256 KiB. */
const bodyBytesMax = 512 * 1024;

const port = Number(process.env['PORT'] ?? 8091);
const secret = process.env['WEBHOOK_SECRET'] ?? '';
const webhook = new Webhook(secret);

/**
 * @typedef {object} Received
 * @property {string | undefined} job_id
 * @property {string | undefined} status
 * @property {string | undefined} webhook_id
 * @property {boolean} verified by both signatures
 * @property {{ standard_webhooks: boolean, hex_hmac: boolean }} signatures
 * @property {string} at
 * @property {string | undefined} traceparent
 * @property {string | undefined} attempt
 */

/** @type {Received[]} */
const received = [];

/** @param {string} body @param {Record<string, string>} headers */
function verifiesStandard(body, headers) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError || error instanceof SyntaxError) return false;
    throw error;
  }
}

/** The article's way: the key is the secret as it was given, as text. @param {string} body */
function verifiesHex(body, signature = '') {
  const wanted = createHmac('sha256', secret).update(body).digest();
  const given = Buffer.from(signature, 'hex');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** @param {string} body @returns {{ job_id?: string, status?: string }} */
function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}

/** @param {string} body @param {Record<string, string>} headers @returns {Received} */
function receive(body, headers) {
  const signatures = {
    standard_webhooks: verifiesStandard(body, headers),
    hex_hmac: verifiesHex(body, headers[webhookHeaders.hexSignature]),
  };
  const { job_id, status } = parse(body);
  return {
    job_id,
    status,
    webhook_id: headers[webhookHeaders.id],
    verified: signatures.standard_webhooks && signatures.hex_hmac,
    signatures,
    at: new Date().toISOString(),
    traceparent: headers['traceparent'],
    attempt: headers[webhookHeaders.attempt],
  };
}

const server = createServer(async (request, response) => {
  response.setHeader('content-type', 'application/json');
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (request.method === 'GET') {
    const known = pathname === '/received' || pathname === '/health';
    response.statusCode = known ? 200 : 404;
    return response.end(JSON.stringify(pathname === '/received' ? { data: received } : {}));
  }
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= bodyBytesMax) chunks.push(chunk);
  }
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  );
  const entry = receive(Buffer.concat(chunks).toString('utf8'), headers);
  received.unshift(entry);
  received.length = Math.min(received.length, keptMax);
  console.log(JSON.stringify(entry));
  response.statusCode = entry.verified ? 200 : 401;
  response.end('{}');
});
server.listen(port, '127.0.0.1', () => {
  console.log(`The sample webhook receiver listens on http://127.0.0.1:${port}`);
});

process.on('SIGTERM', () => process.exit(0));
