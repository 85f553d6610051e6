import type { DocumentParams, JobId, LimitName } from '@millrace/contracts';

import type { Amount, Ledger } from './agent-budget.ts';
import type { TreeItem } from './document-tree.ts';
import type { Price } from './prices.ts';
import type { EpochMs } from './workflow.ts';

/** A document's state is JSON; of the answers it holds those that wait for their neighbours. */
export type DocumentState = DocumentRun | EndedDocument;

export interface EndedDocument {
  readonly stage: 'ended';
  readonly ledger: Ledger;
}

export interface DocumentRun {
  readonly stage: 'splitting' | 'working';
  readonly jobId: JobId;
  readonly startedAt: EpochMs;
  readonly completeBy?: string;
  readonly stream: boolean;
  /** Until it is split; absent in states of older releases. */
  readonly document?: DocumentParams['document'];
  readonly asked: Omit<DocumentParams, 'document'> & { readonly model: string };
  readonly price?: Price;
  readonly ledger: Ledger;
  /** `<partsRef>.<n>`: the parameters of the call for part n; its prompt has `parts[n]` tokens. */
  readonly partsRef: string;
  readonly parts: readonly number[];
  /** The first part that nobody was asked about yet. */
  readonly nextPart: number;
  /** The first answer is there: the prefix that all parts share is in the model's cache. */
  readonly warm: boolean;
  /** Numbers of calls that were made. */
  readonly calls: number;
  /** Items to be asked again, and joins whose answers are all there. */
  readonly due: readonly DueItem[];
  readonly open: readonly OpenItem[];
  /** Answers by `<level>.<index>`, until they are joined. */
  readonly answers: Readonly<Record<string, string>>;
  /** Items of level 0 that are answered. */
  readonly partsDone: number;
  readonly standIn: boolean;
  readonly reached: LimitName | null;
}

export interface DueItem extends TreeItem {
  /** Calls about it that failed. */
  readonly failures: number;
  /** In place of the job's own, after an answer that was cut off. */
  readonly maxTokens?: number;
}

export interface OpenItem extends DueItem {
  readonly callId: string;
  /** The version that asked for it; absent in states of older releases. */
  readonly askedIn?: number;
  readonly held: Amount;
  readonly outputTokens: number;
}
