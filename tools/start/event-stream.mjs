/** Reads server-sent events, as far as ours need it. */

/**
 * @typedef {{ event: string, data: unknown, id: string | undefined }} StreamEvent
 *
 * @param {AsyncIterable<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent>} each as soon as it is whole
 */
export async function* readEvents(body) {
  const decoder = new TextDecoder();
  let buffer = '';
  for await (const chunk of body) {
    buffer += decoder.decode(chunk, { stream: true });
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = blocks.pop() ?? '';
    for (const block of blocks) {
      const parsed = parseBlock(block);
      if (parsed !== undefined) yield parsed;
    }
  }
}

/** @param {string} block @returns {StreamEvent | undefined} */
function parseBlock(block) {
  let event = 'message';
  /** @type {string | undefined} */
  let id;
  /** @type {string[]} */
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === 'event') event = value;
    if (field === 'id') id = value;
    if (field === 'data') data.push(value);
  }
  if (data.length === 0) return undefined;
  try {
    return { event, data: JSON.parse(data.join('\n')), id };
  } catch {
    return { event, data: data.join('\n'), id };
  }
}
