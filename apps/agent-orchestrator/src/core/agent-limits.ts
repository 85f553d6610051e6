/** What bounds a run beside its budget. Unit and reason stand beside each. */

/** Entries of a run's journal: a fork or a timeline reads them all. */
export const historyStepsMax = 10_000;
/** Answers in a row that Claude broke off to be asked to go on: more is no progress. */
export const pausesMax = 10;
/** Times that one answer is asked for again because a tool's arguments were cut off. */
export const truncationsMax = 1;
/** `max_tokens` that a cut answer is asked for again with, at most: what every model takes. */
export const maxTokensDoubledMax = 64_000;
/** Times that a final answer is asked for again: a model that fails thrice will go on failing. */
export const finalAnswerAsksMax = 2;
/** Tools asked for in one answer; what is above gets an error. A model never needs as many. */
export const usesPerAnswerMax = 128;
/** A journal entry holds a state: the parts below keep it near 1 MiB. Bytes of JSON each. */
export const agentBytesMax = 256 * 1024;
export const argumentsBytesMax = 128 * 1024;
export const resultsBytesMax = 512 * 1024;
export const signalsBytesMax = 128 * 1024;
export const recordedBytesMax = 128 * 1024;
/** Decisions of people that the API still shows. */
export const decidedApprovalsKept = 50;
/** Ids of signals that are remembered so that a copy is known as one. */
export const signalIdsKept = 200;
/**
 * Milliseconds that tool-runner may be late beyond all of a tool's attempts before its call is
 * given up: it answers itself in time unless it is down for so long.
 */
export const runnerGraceMs = 10 * 60_000;
/** Characters of an error's detail that the model is told. */
export const errorDetailLengthMax = 2_000;
