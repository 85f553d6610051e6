/** Asks once whether the key works, before anything is started with it. */
import Anthropic from '@anthropic-ai/sdk';

import { StackError } from '../stack/stack-error.mjs';

const timeoutMs = 15_000;

/**
 * A list of models costs nothing. What answers there and does not know that route (a proxy, another
 * stand-in) is taken as it is.
 * @param {{ apiKey: string, baseUrl: string | undefined }} claude
 */
export async function requireWorkingKey({ apiKey, baseUrl }) {
  const client = new Anthropic({ apiKey, baseURL: baseUrl, maxRetries: 0, timeout: timeoutMs });
  try {
    await client.models.list({ limit: 1 });
  } catch (cause) {
    if (cause instanceof Anthropic.APIConnectionError) {
      throw new StackError(
        `${client.baseURL} could not be reached: check the network` +
          `${baseUrl === undefined ? '' : ' and ANTHROPIC_BASE_URL'}, ` +
          'or unset ANTHROPIC_API_KEY to work with the stand-in.',
        { cause },
      );
    }
    if (cause instanceof Anthropic.APIError && (cause.status === 401 || cause.status === 403)) {
      throw new StackError(
        `ANTHROPIC_API_KEY was refused by ${client.baseURL} (HTTP ${cause.status}): ` +
          'set a key that works, or unset it to work with the stand-in.',
        { cause },
      );
    }
    if (!(cause instanceof Anthropic.APIError)) throw cause;
  }
}
