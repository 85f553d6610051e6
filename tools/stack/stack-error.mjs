/** Something the user can act on: printed as it is, without a stack trace. */
export class StackError extends Error {
  /**
   * @param {string} message what is wrong, naming the port, path or variable, and what to do
   * @param {{ cause?: unknown, log?: string }} [options] `log`: last lines of the log concerned
   */
  constructor(message, { cause, log } = {}) {
    super(message, { cause });
    this.name = 'StackError';
    this.log = log;
  }
}

/** @param {unknown} error @returns {string | undefined} the code of an error of the system */
export function codeOf(error) {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return String(error.code);
}
