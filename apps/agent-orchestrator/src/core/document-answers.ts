import { assertNever } from '@millrace/contracts';
import type { ClaudeCompleted } from '@millrace/contracts';

import { countUsage, settle } from './agent-budget.ts';
import type { OpenItem } from './document-state.ts';
import { change, end, failDocument, tellStep } from './document-step.ts';
import type { DocumentStep } from './document-step.ts';
import { keyOf, neighboursOf, parentOf, topLevel } from './document-tree.ts';
import { messageSchema, spentBy, textIn } from './model-answer.ts';
import type { CompletedCall, Message } from './model-answer.ts';

/** Calls about one item, after claude-worker has used up its own retries of each. */
const failuresMax = 2;
/** Output tokens that a cut join may be given at most. */
const joinTokensMax = 32_000;
/** Characters of an answer that are joined: far above a page, and the state holds some hundred. */
const answerLengthMax = 16_384;

/** How a call ended. Null: it was waited for. */
export function takePartAnswer(step: DocumentStep, event: CompletedCall): string | null {
  const { data } = event;
  const item = step.run.open.find(({ callId }) => callId === data.call_id);
  if (item === undefined) return 'no such model call is under way';
  close(step, item, event);
  switch (data.outcome) {
    case 'answered':
      readAnswer(step, item, data);
      return null;
    case 'failed':
      askAgain(step, item, data);
      return null;
    case 'cancelled':
    case 'expired':
      end(step, { status: data.outcome, ...(data.error ? { error: data.error } : {}) });
      return null;
    default:
      return assertNever(data.outcome);
  }
}

function close(step: DocumentStep, item: OpenItem, event: CompletedCall): void {
  const { data } = event;
  const { ledger, open } = step.run;
  change(step, {
    open: open.filter((other) => other !== item),
    ledger: settle(countUsage(ledger, data.usage), item.held, spentBy(event, item.held)),
    warm: step.run.warm || data.outcome === 'answered',
    standIn: step.run.standIn || data.stand_in === true,
  });
}

/**
 * An answer about a part may end at its limit: it is an extract, and the next one joins it. The
 * answer about the whole may not: whoever reads it would take the half for it.
 */
function readAnswer(step: DocumentStep, item: OpenItem, data: ClaudeCompleted): void {
  const parsed = messageSchema.safeParse(data.message);
  if (!parsed.success) return failDocument(step, 'internal', 'an answer has no content');
  const message = parsed.data;
  switch (message.stop_reason) {
    case 'end_turn':
    case 'stop_sequence':
      return keepAnswer(step, item, { message, model: data.model });
    case 'max_tokens':
      return item.level === 0 && step.run.parts.length > 1
        ? keepAnswer(step, item, { message, model: data.model })
        : askForMore(step, item);
    case 'refusal':
      return failDocument(step, 'refusal', `Claude declined to answer about ${nameOf(step, item)}`);
    case 'model_context_window_exceeded':
      return failDocument(step, 'session_too_long', `${nameOf(step, item)} is too long`);
    default: {
      const reason = message.stop_reason.slice(0, 100);
      return failDocument(step, 'unknown_stop_reason', `Claude stopped for the reason «${reason}»`);
    }
  }
}

function askForMore(step: DocumentStep, item: OpenItem): void {
  const maxTokens = item.outputTokens * 2;
  // The parameters of a part lie ready as they are.
  if (item.level === 0 || maxTokens > joinTokensMax) {
    const detail = `the answer was cut off at ${item.outputTokens} tokens`;
    return failDocument(step, 'answer_truncated', detail);
  }
  const { level, index, failures } = item;
  change(step, { due: [{ level, index, failures, maxTokens }, ...step.run.due] });
}

/** A part that failed is asked about again, alone: the others are not touched by it. */
function askAgain(step: DocumentStep, item: OpenItem, data: ClaudeCompleted): void {
  const { level, index, maxTokens } = item;
  const failures = item.failures + 1;
  if (failures > failuresMax || data.error?.code === 'rejected_by_claude') {
    const code = data.error?.code ?? 'retries_exhausted';
    return failDocument(step, code, `${nameOf(step, item)}: ${data.error?.detail ?? 'no answer'}`);
  }
  const again = { level, index, failures, ...(maxTokens === undefined ? {} : { maxTokens }) };
  change(step, { due: [...step.run.due, again] });
}

function keepAnswer(
  step: DocumentStep,
  item: OpenItem,
  { message, model }: { readonly message: Message; readonly model: string | undefined },
): void {
  const text = textIn(message);
  const { parts } = step.run;
  if (item.level === topLevel(parts.length)) {
    const about = model === undefined ? {} : { model };
    return end(step, { status: 'succeeded', result: text, message, ...about });
  }
  keepText(step, item, text.slice(0, answerLengthMax));
  if (item.level > 0) return;
  const partsDone = step.run.partsDone + 1;
  change(step, { partsDone });
  tellStep(step, { kind: 'part_done', done: partsDone, of: parts.length });
}

/** When all neighbours are there they are due to be joined; one alone is its own join. */
function keepText(step: DocumentStep, item: Pick<OpenItem, 'level' | 'index'>, text: string): void {
  change(step, { answers: { ...step.run.answers, [keyOf(item)]: text } });
  const { answers, due, parts } = step.run;
  const neighbours = neighboursOf(item, parts.length);
  if (!neighbours.every((each) => answers[keyOf(each)] !== undefined)) return;
  const parent = parentOf(item);
  if (neighbours.length > 1) {
    return change(step, { due: [{ ...parent, failures: 0 }, ...due] });
  }
  change(step, { answers: without(answers, neighbours.map(keyOf)) });
  keepText(step, parent, text);
}

/** Answers that a join has taken in are of no use any more. */
export function dropJoined(step: DocumentStep): void {
  const { answers, due, open, parts } = step.run;
  const needed = new Set(
    [...due, ...open].filter(({ level }) => level > 0).map((item) => keyOf(item)),
  );
  const joined = Object.keys(answers).filter((key) => {
    const [level = 0, index = 0] = key.split('.').map(Number);
    const group = neighboursOf({ level, index }, parts.length);
    const isWhole = group.every((each) => answers[keyOf(each)] !== undefined);
    return isWhole && !needed.has(keyOf(parentOf({ level, index })));
  });
  if (joined.length > 0) change(step, { answers: without(answers, joined) });
}

function without(
  answers: Readonly<Record<string, string>>,
  keys: readonly string[],
): Readonly<Record<string, string>> {
  const gone = new Set(keys);
  return Object.fromEntries(Object.entries(answers).filter(([key]) => !gone.has(key)));
}

function nameOf({ run }: DocumentStep, { level, index }: OpenItem): string {
  if (level > 0) return 'the answers about several parts';
  return run.parts.length === 1 ? 'the document' : `part ${index + 1} of ${run.parts.length}`;
}
