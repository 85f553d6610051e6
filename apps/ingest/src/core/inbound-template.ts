import {
  inboundJobBytesMax,
  inboundTemplateBytesMax,
  jobSubmissionSchema,
  untrustedData,
  type InboundTemplate,
  type JobSubmission,
} from '@millrace/contracts';
import { Liquid, LiquidError } from 'liquidjs';

import type { FieldError } from './field-error.ts';
import { fieldErrors } from './field-error.ts';
import { ProblemError } from './problem.ts';

/**
 * Turns an inbound payload into a job.
 *
 * T1 The payload is data, never instructions: in a prompt each of its values stands in a mark that
 *    it cannot end, and it reaches neither the system prompt nor anything that decides what is
 *    called (`tools`, `model`, `callback_url`).
 * T2 What a tenant writes cannot hang or fill this process: length, time and memory are bounded,
 *    and a template includes no other.
 */

/** Milliseconds that rendering one text may take, and what it may allocate (Liquid's own units). */
const renderMsMax = 200;
const memoryUnitsMax = 4_000_000;

/** What placeholders can name. */
export interface TemplateScope {
  readonly payload: unknown;
  readonly event: string | undefined;
  readonly delivery_id: string;
}

const limits = {
  parseLimit: inboundTemplateBytesMax,
  renderLimit: renderMsMax,
  memoryLimit: memoryUnitsMax,
  ownPropertyOnly: true,
  strictFilters: true,
  // An own store of templates, with none in it: nothing is read from anywhere (T2).
  templates: {},
};
const prose = new Liquid({ ...limits, outputEscape: (value) => untrustedData(textOf(value)) });
const plain = new Liquid({ ...limits, outputEscape: textOf });

/** Where placeholders may stand, by the path in a submission; everywhere else they are refused. */
const proseAt = /^(?:prompt|params\.messages\.\d+\.content(?:\.\d+\.text)?|params\.prompt)$/;
const plainAt = /^(?:session_id|metadata\.[^.]+)$/;
const placeholder = /\{\{|\{%/;

/** @returns what is wrong with a template; none for one that can be used. */
export function templateErrors(template: InboundTemplate): FieldError[] {
  if (Buffer.byteLength(JSON.stringify(template)) > inboundTemplateBytesMax) {
    return [{ path: 'template', message: `must be at most ${inboundTemplateBytesMax} bytes` }];
  }
  if ('job_id' in template) {
    return [{ path: 'template.job_id', message: 'comes from the delivery: leave it out' }];
  }
  const misplaced: FieldError[] = [];
  mapTexts(template, (text, path) => {
    const message = placeholder.test(text) ? placeholderError(text, path) : null;
    if (message !== null) misplaced.push({ path: `template.${path}`, message });
    return text;
  });
  if (misplaced.length > 0) return misplaced;
  const parsed = jobSubmissionSchema.safeParse(withoutPlaceholders(template));
  if (parsed.success) return [];
  return fieldErrors(parsed.error).map((error) => ({ ...error, path: `template.${error.path}` }));
}

/**
 * The job that a delivery asks for.
 * @throws ProblemError when the payload does not fit the template.
 */
export function renderJob(template: InboundTemplate, scope: TemplateScope): JobSubmission {
  const rendered = mapTexts(template, (text, path) => {
    if (!placeholder.test(text)) return text;
    return render(proseAt.test(path) ? prose : plain, text, { scope, path });
  });
  const job = rendered.type === 'agent' ? tainted(rendered) : rendered;
  if (Buffer.byteLength(JSON.stringify(job)) > inboundJobBytesMax) {
    const detail = `the job would have more than ${inboundJobBytesMax} bytes: name less of it`;
    throw new ProblemError('payload_too_large', detail);
  }
  const parsed = jobSubmissionSchema.safeParse(job);
  if (parsed.success) return parsed.data;
  const detail = 'the payload makes no job of the template of this source';
  throw new ProblemError('invalid_request', detail, fieldErrors(parsed.error));
}

/** An agent that reads what others wrote asks a person before it writes. */
function tainted(job: Record<string, unknown>): Record<string, unknown> {
  const params = typeof job.params === 'object' && job.params !== null ? job.params : {};
  return { ...job, params: { ...params, untrusted: true } };
}

function placeholderError(text: string, path: string): string | null {
  if (!proseAt.test(path) && !plainAt.test(path)) {
    return 'placeholders stand in the prompt, in messages, session_id and metadata only';
  }
  try {
    prose.parse(text);
    return null;
  } catch (error) {
    return error instanceof LiquidError ? error.message : 'this is no template of Liquid';
  }
}

/** For the check of a template: what it will say is not known yet, only that it is text. */
function withoutPlaceholders(template: InboundTemplate): Record<string, unknown> {
  return mapTexts(template, (text) => (placeholder.test(text) ? 'x' : text));
}

function render(
  engine: Liquid,
  text: string,
  { scope, path }: { scope: TemplateScope; path: string },
): string {
  try {
    const rendered: unknown = engine.parseAndRenderSync(text, { ...scope });
    return textOf(rendered);
  } catch (error) {
    const message = error instanceof LiquidError ? error.message : 'it cannot be rendered';
    throw new ProblemError('invalid_request', 'the template cannot be filled in', [
      { path: `template.${path}`, message },
    ]);
  }
}

/** A value of JSON as people read it: text as it is, nothing for nothing, all else as JSON. */
function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The same object with each of its texts changed. */
function mapTexts(
  value: InboundTemplate,
  change: (text: string, path: string) => string,
): Record<string, unknown> {
  const walk = (at: unknown, path: string): unknown => {
    if (typeof at === 'string') return change(at, path);
    const below = (key: string | number) => (path === '' ? String(key) : `${path}.${key}`);
    if (Array.isArray(at)) return at.map((each, i) => walk(each, below(i)));
    if (typeof at !== 'object' || at === null) return at;
    const entries = Object.entries(at).map(([key, each]) => [key, walk(each, below(key))]);
    return Object.fromEntries(entries);
  };
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(each, key)]));
}
