/** A part of a text: `[start, end)` in UTF-16 code units. Its first `overlap` were told before. */
export interface TextPart {
  readonly start: number;
  readonly end: number;
  readonly overlap: number;
}

export interface SplitOptions {
  /** Of one part, its overlap included. */
  readonly tokensMax: number;
  /** Of the part before that are told again: what is cut in two is whole in one of them. */
  readonly overlapTokens: number;
}

/**
 * About how many tokens a text has, from above: English has some four bytes for a token, code and
 * other languages some three. The model's own tokenizer is not public.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3);
}

/**
 * Cuts a text into parts where its structure does: before a heading, else between paragraphs,
 * lines, sentences, words, and only then anywhere. Without their overlaps the parts are the text.
 */
export function splitText(text: string, options: SplitOptions): TextPart[] {
  const bodyTokensMax = Math.max(1, options.tokensMax - options.overlapTokens);
  const parts: TextPart[] = [];
  let start = 0;
  let tokens = 0;
  let at = 0;
  const close = (end: number): void => {
    parts.push(withOverlap(text, { start, end }, options.overlapTokens));
    start = end;
    tokens = 0;
  };
  for (const piece of piecesOf(text, bodyTokensMax)) {
    const more = estimateTokens(piece);
    const isFull = tokens + more > bodyTokensMax;
    const isNewChapter = isHeading(piece) && tokens > bodyTokensMax / 2;
    if (at > start && (isFull || isNewChapter)) close(at);
    tokens += more;
    at += piece.length;
  }
  if (at > start) close(at);
  return parts;
}

/** From the coarsest to the finest. Each cuts behind what it finds, so that nothing is lost. */
const boundaries: readonly RegExp[] = [
  /\n(?=#{1,6} )/g,
  /\n[ \t]*\n+/g,
  /\n/g,
  /[.!?](?=\s)\s|[。！？]/g,
  /\s/g,
];

/** Pieces none of which is above the limit, in order; together they are the text. */
function piecesOf(text: string, tokensMax: number, level = 0): string[] {
  // Paragraphs stay apart however short they are: they are what a part is filled with.
  if (level > 1 && estimateTokens(text) <= tokensMax) return [text];
  const boundary = boundaries[level];
  if (boundary === undefined) return hardPieces(text, tokensMax);
  return cutBehind(text, boundary).flatMap((piece) => piecesOf(piece, tokensMax, level + 1));
}

function cutBehind(text: string, boundary: RegExp): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (const { 0: found, index } of text.matchAll(boundary)) {
    const end = index + found.length;
    pieces.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) pieces.push(text.slice(start));
  return pieces;
}

/** Text without any boundary, cut by its length; never within a code point. */
function hardPieces(text: string, tokensMax: number): string[] {
  const pieces: string[] = [];
  // A code unit is at most three bytes, and three bytes are a token.
  for (let start = 0; start < text.length; ) {
    const end = codePointEnd(text, Math.min(text.length, start + tokensMax));
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

/** The same place, or one before it if that is within a pair; one behind if nothing were left. */
function codePointEnd(text: string, end: number): number {
  const isWithin = end < text.length && /[\uDC00-\uDFFF]/.test(text.charAt(end));
  if (!isWithin) return end;
  return end > 1 && /[\uD800-\uDBFF]/.test(text.charAt(end - 1)) ? end + 1 : end;
}

function isHeading(piece: string): boolean {
  return /^#{1,6} /.test(piece);
}

function withOverlap(
  text: string,
  body: { readonly start: number; readonly end: number },
  tokens: number,
): TextPart {
  const from = overlapStart(text, body.start, tokens);
  return { start: from, end: body.end, overlap: body.start - from };
}

/** The earliest sentence, word or code point from which on there are no more tokens than these. */
function overlapStart(text: string, end: number, tokens: number): number {
  if (tokens === 0 || end === 0) return end;
  // Three bytes are a token, so there are at most three code units to one.
  let start = Math.max(0, end - tokens * 3);
  if (/[\uDC00-\uDFFF]/.test(text.charAt(start))) start += 1;
  while (start < end && estimateTokens(text.slice(start, end)) > tokens) {
    start = nextCodePoint(text, start + Math.max(1, Math.floor((end - start) / 8)));
  }
  if (start === 0) return 0;
  const tail = text.slice(start, end);
  const sentence = /[.!?。！？\n]\s*/.exec(tail);
  const word = /\s+/.exec(tail);
  const cut = [sentence, word].find((found) => found !== null && endOf(found) < tail.length);
  return cut === undefined || cut === null ? start : start + endOf(cut);
}

function nextCodePoint(text: string, at: number): number {
  return /[\uDC00-\uDFFF]/.test(text.charAt(at)) ? at + 1 : at;
}

function endOf(found: RegExpExecArray): number {
  return found.index + found[0].length;
}
