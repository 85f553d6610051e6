import type { ClaudeMessage } from './claude-message.ts';

/** What is known of an HTTP answer, whatever it says. */
export interface AnswerSource {
  readonly httpStatus: number | null;
  readonly requestId: string | null;
  /** A stand-in answered, and said so. */
  readonly standIn: boolean;
}

export const noSource: AnswerSource = { httpStatus: null, requestId: null, standIn: false };

/** An error as the API names it. `httpStatus` is null when it came inside a stream. */
export interface ClaudeError {
  readonly httpStatus: number | null;
  readonly type: string | null;
  readonly errorCode: string | null;
  readonly retryAfterMs: number | null;
  /** For people; nothing branches on it. */
  readonly detail: string;
}

/** Why an answer ended before it was whole. It may have been paid. */
export type CutReason =
  | 'connection_lost'
  | 'answer_truncated'
  | 'answer_malformed'
  | 'first_event_timeout'
  | 'progress_timeout'
  | 'total_timeout';

/** How one HTTP send ended. */
export type ClaudeAnswer =
  | { readonly kind: 'message'; readonly message: ClaudeMessage; readonly source: AnswerSource }
  | { readonly kind: 'error'; readonly error: ClaudeError; readonly source: AnswerSource }
  /** The request never reached the server: refused, no such host, no TLS. Not paid. */
  | { readonly kind: 'unreachable'; readonly code: string }
  | { readonly kind: 'cut'; readonly reason: CutReason; readonly source: AnswerSource }
  /** We ended it: the process stops, its lease is lost, or the job was cancelled or expired. */
  | { readonly kind: 'interrupted'; readonly by: 'stop' | 'lease_lost' | 'cancel' | 'expiry' }
  /** Nothing was sent: the gate shut meanwhile, or the parameters could not be read now. */
  | { readonly kind: 'unsent'; readonly retryInMs: number }
  /** Nothing was sent and nothing can be: the stored call cannot be made. */
  | {
      readonly kind: 'unsendable';
      readonly code: 'session_too_long' | 'deadline_exceeded' | 'bad_row' | 'internal';
      readonly detail: string;
    };
