import { describe, expect, it } from '@jest/globals';

import { answerTo } from './answer.mjs';

const document = `# Rivers

A river runs downhill. It does so always.

## Weirs

A weir holds the river back. The river waits.`;

describe('what the stand-in answers', () => {
  it('quotes title, size and sentences of a document', () => {
    const prompt = `Summarise this.\n\n<document>\n${document}\n</document>`;
    const answer = answerTo({ prompt, turn: 1 });
    expect(answer).toContain('“Rivers” (19 words, 2 paragraphs, 1 section)');
    expect(answer).toContain('- A river runs downhill.\n- A weir holds the river back.');
    expect(answer).toContain('“river”');
  });

  it('repeats a prompt that has no document, and names the turn of a conversation', () => {
    const answer = answerTo({ prompt: 'What is a weir?', turn: 3 });
    expect(answer).toMatch(/^This is turn 3 .*You wrote 4 words: “What is a weir\?”/);
  });

  it('is as long as it was asked to be', () => {
    const answer = answerTo({ prompt: 'Go on. [[sentences:3]]', turn: 1 });
    expect(answer).toContain('sentence 1 of a longer answer. This is sentence 2 of');
    expect(answer.match(/This is sentence/g)).toHaveLength(3);
  });

  it('always says that no model wrote it', () => {
    expect(answerTo({ prompt: '', turn: 1 })).toContain('no model was asked');
  });
});
