/**
 * What the Claude stand-in says: text that comes from the prompt, so that a reader can tell one
 * job's answer from another's. It does not understand anything, and says so.
 */

const quoteCharactersMax = 220;
const quotesMax = 3;
const frequentWordsMax = 5;
/** Of an answer that is asked for by its length: some ten minutes of writing. */
const sentencesMax = 10_000;
/** How every answer ends. */
export const closing = '\n\n(Written by the Claude stand-in: no model was asked.)';
/** Words that every English text is full of say nothing about one. */
const commonWords = new Set(
  (
    'about after again also because been before being between both could does down each even ' +
    'every from have here into itself just like made make many might more most much must never ' +
    'next once only other over same should some such than that their them then there these they ' +
    'this those through time under until very want well were what when where which while will ' +
    'with without would your'
  ).split(' '),
);

/**
 * `[[sentences:180]]` in the prompt asks for a long answer: a test may need time while it is told.
 *
 * @param {{ prompt: string, turn: number }} question `turn`: how many times the user spoke so far
 * @returns {string}
 */
export function answerTo({ prompt, turn }) {
  const document = /<document>([\s\S]*)<\/document>/.exec(prompt)?.[1]?.trim();
  const opening = turn > 1 ? `This is turn ${turn} of our conversation. ` : '';
  if (document !== undefined) return `${opening}${summaryOf(document)}${closing}`;
  const sentences = Number(/\[\[sentences:(\d+)\]\]/.exec(prompt)?.[1] ?? 0);
  if (sentences > 0) return `${opening}${numberedSentences(sentences)}${closing}`;
  const words = wordsOf(prompt);
  return (
    `${opening}You wrote ${count(words.length, 'word')}: “${shorten(prompt.trim())}”. ` +
    'A model would answer that; I can only show you the way that its answer would take, ' +
    `from the topic through the worker to you.${closing}`
  );
}

/** @param {number} wanted */
function numberedSentences(wanted) {
  const numbers = Array.from({ length: Math.min(wanted, sentencesMax) }, (_, n) => n + 1);
  return numbers.map((n) => `This is sentence ${n} of a longer answer.`).join(' ');
}

/** @param {string} document */
function summaryOf(document) {
  const lines = document.split('\n');
  const heading = lines.find((line) => /^#+\s/.test(line)) ?? lines[0] ?? '';
  const title = heading.replace(/^#+\s*/, '').trim();
  const sections = lines.filter((line) => /^##+\s/.test(line));
  const paragraphs = document
    .split(/\n\s*\n/)
    .map((part) => part.replaceAll(/\s+/g, ' ').trim())
    .filter((part) => part !== '' && !/^([#>|`-]|\d+\.)/.test(part));
  const words = wordsOf(document);
  const size = [
    count(words.length, 'word'),
    count(paragraphs.length, 'paragraph'),
    ...(sections.length > 0 ? [count(sections.length, 'section')] : []),
  ].join(', ');
  const quotes = spread(paragraphs, quotesMax).map((part) => `- ${shorten(firstSentence(part))}`);
  return [
    `“${shorten(title)}” (${size}) comes back most often to ${listOf(frequentWords(words))}.`,
    quotes.length === 0 ? '' : `In its own words:\n\n${quotes.join('\n')}`,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** @param {string} text @returns {string[]} */
const wordsOf = (text) => text.match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu) ?? [];

/** @param {readonly string[]} words @returns {string[]} what a text is about, by counting */
function frequentWords(words) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const word of words.map((each) => each.toLowerCase())) {
    if (word.length < 4 || commonWords.has(word)) continue;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
    .slice(0, frequentWordsMax)
    .map(([word]) => `“${word}”`);
}

/** @param {readonly string[]} parts @param {number} max first, last, and evenly between */
function spread(parts, max) {
  if (parts.length <= max) return [...parts];
  return Array.from({ length: max }, (_, index) => {
    return parts[Math.round((index * (parts.length - 1)) / (max - 1))] ?? '';
  });
}

/** @param {string} paragraph */
const firstSentence = (paragraph) => /^.*?[.!?](?=\s|$)/.exec(paragraph)?.[0] ?? paragraph;

/** @param {string} text */
function shorten(text) {
  const flat = text.replaceAll(/\s+/g, ' ');
  if (flat.length <= quoteCharactersMax) return flat;
  return `${flat.slice(0, flat.lastIndexOf(' ', quoteCharactersMax))} …`;
}

/** @param {string} text */
export const quoteOf = (text) => `“${shorten(text.trim())}”`;

/** @param {readonly string[]} items */
function listOf(items) {
  if (items.length < 2) return items[0] ?? 'nothing';
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

/** @param {number} number @param {string} noun */
const count = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
