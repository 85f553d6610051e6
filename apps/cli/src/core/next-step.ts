import type { ErrorCode } from '@millrace/contracts';

/** The one thing to do about a refusal: the most helpful, not all that could be done. */
export function nextStep(code: ErrorCode): string {
  switch (code) {
    case 'unauthorized':
      return 'set MILLRACE_API_KEY (an operator’s command: MILLRACE_ADMIN_API_KEY) to a live key';
    case 'forbidden':
      return 'use a key that may do this: an operator’s command reads MILLRACE_ADMIN_API_KEY';
    case 'not_found':
      return 'look up the id: millrace jobs list, or the list command of what is named';
    case 'changed_meanwhile':
      return 'list it to see what it is by now; to redrive once more, repeat with --again';
    case 'job_ended':
      return 'look at how it ended: millrace jobs get';
    case 'not_begun':
      return 'repeat the command once the job runs';
    case 'idempotency_conflict':
      return 'look at what is there already, then ask again under another key';
    case 'already_exists':
      return 'choose another name, or go on with what is there';
    case 'limit_reached':
      return 'wait until what runs has ended, or revoke what is not needed; then repeat it';
    case 'overloaded':
    case 'queue_full':
    case 'too_many_requests':
      return 'wait a few seconds and repeat the command';
    case 'not_durable':
    case 'unavailable':
    case 'request_timeout':
      return 'repeat the command in a moment; nothing was done by half';
    case 'internal':
      return 'look for the trace id in the logs of ingest';
    default:
      return 'correct what the message names and repeat the command';
  }
}
