/** A token is about this many characters of English. */
const charactersPerToken = 4;

/** @param {string} text @returns {number} about as many as a model would count */
export const tokensOf = (text) => Math.max(1, Math.ceil(text.length / charactersPerToken));
