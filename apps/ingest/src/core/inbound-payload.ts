import { parseJsonBody } from './parse-body.ts';
import { ProblemError } from './problem.ts';

const formType = 'application/x-www-form-urlencoded';

/**
 * What an inbound webhook says: JSON, or a form as Slack sends one, whose field `payload` is JSON.
 * @throws ProblemError
 */
export function inboundPayload(contentType: string | undefined, body: Buffer): unknown {
  const [type = ''] = (contentType ?? '').split(';');
  return type.trim().toLowerCase() === formType ? formOf(body) : parseJsonBody(body);
}

function formOf(body: Buffer): unknown {
  const text = body.toString('utf8');
  if (!isWellFormed(text)) throw new ProblemError('malformed_json', 'the form is not UTF-8');
  const fields = new URLSearchParams(text);
  const payload = fields.get('payload');
  if (payload !== null) return parseJsonBody(Buffer.from(payload, 'utf8'));
  return Object.fromEntries(fields);
}

/** Node writes a replacement where bytes are none of UTF-8. */
function isWellFormed(text: string): boolean {
  return !text.includes('\uFFFD');
}
