import { createHash } from 'node:crypto';

import {
  inboundSecretsMax,
  jobIdSchema,
  type InboundProvider,
  type InboundSourceChange,
  type InboundSourceSubmission,
  type InboundSourceView,
  type InboundTemplate,
  type JobId,
  type TenantId,
} from '@millrace/contracts';

import type { FieldError } from './field-error.ts';
import { templateErrors } from './inbound-template.ts';
import { ProblemError } from './problem.ts';

/** A source as its row holds it. */
export interface InboundSource {
  readonly id: string;
  readonly tenant: TenantId;
  readonly name: string;
  readonly provider: InboundProvider;
  /** Newest first, at least one. */
  readonly secrets: readonly string[];
  readonly events: readonly string[] | null;
  readonly signatureHeader: string | null;
  readonly deliveryHeader: string | null;
  readonly template: InboundTemplate;
  readonly enabled: boolean;
  readonly createdAt: Date;
  readonly changedAt: Date;
}

/** What may be changed of one. */
export type InboundSourceState = Pick<
  InboundSource,
  'name' | 'secrets' | 'events' | 'template' | 'enabled'
>;

export type NewInboundSource = Omit<InboundSource, 'createdAt' | 'changedAt'>;

/** @throws ProblemError that lists what cannot be so. */
export function newInboundSource(
  given: InboundSourceSubmission,
  { id, tenant }: { readonly id: string; readonly tenant: TenantId },
): NewInboundSource {
  const isGeneric = given.provider === 'generic';
  const errors = [
    ...templateErrors(given.template),
    ...secretErrors(given.provider, given.secret),
    ...(isGeneric ? [] : headerErrors(given)),
  ];
  refuse(errors);
  return {
    id,
    tenant,
    name: given.name,
    provider: given.provider,
    secrets: [given.secret],
    events: given.events ?? null,
    signatureHeader: given.signature_header ?? null,
    deliveryHeader: given.delivery_header ?? null,
    template: given.template,
    enabled: true,
  };
}

/** @throws ProblemError */
export function changedSource(
  source: InboundSource,
  change: InboundSourceChange,
): InboundSourceState {
  const { name, template, events, enabled } = change;
  if (template !== undefined) refuse(templateErrors(template));
  return {
    name: name ?? source.name,
    secrets: source.secrets,
    events: events === undefined ? source.events : events,
    template: template ?? source.template,
    enabled: enabled ?? source.enabled,
  };
}

/** The new secret in front of those that are believed for a while, too. @throws ProblemError */
export function withInboundSecret(
  source: InboundSource,
  o: { readonly secret: string; readonly keepPrevious: boolean },
): InboundSourceState {
  refuse(secretErrors(source.provider, o.secret));
  const previous = o.keepPrevious ? source.secrets : [];
  const secrets = [...new Set([o.secret, ...previous])].slice(0, inboundSecretsMax);
  const { name, events, template, enabled } = source;
  return { name, secrets, events, template, enabled };
}

/** A source without its secrets. */
export function inboundSourceView(source: InboundSource): InboundSourceView {
  const { signatureHeader, deliveryHeader, events } = source;
  return {
    id: source.id,
    path: `/v1/inbound/${source.id}`,
    name: source.name,
    provider: source.provider,
    ...(events === null ? {} : { events: [...events] }),
    ...(signatureHeader === null ? {} : { signature_header: signatureHeader }),
    ...(deliveryHeader === null ? {} : { delivery_header: deliveryHeader }),
    template: source.template,
    secrets: source.secrets.length,
    enabled: source.enabled,
    created_at: source.createdAt.toISOString(),
    changed_at: source.changedAt.toISOString(),
  };
}

/** Whether a delivery about this is to start a job: by its type, or by the part before the dot. */
export function wantsEvent(
  { events }: Pick<InboundSource, 'events'>,
  eventType: string | undefined,
): boolean {
  if (events === null) return true;
  if (eventType === undefined) return false;
  const [family = ''] = eventType.split('.');
  return events.includes(eventType) || events.includes(family);
}

/** The id of the job of a delivery: delivered again, it is the same job. */
export function inboundJobId(source: Pick<InboundSource, 'id'>, deliveryId: string): JobId {
  const digest = createHash('sha256').update(`${source.id}\u0000${deliveryId}`).digest('hex');
  return jobIdSchema.parse(`job_${digest.slice(0, 32)}`);
}

function headerErrors(given: InboundSourceSubmission): FieldError[] {
  const named = ['signature_header', 'delivery_header'] as const;
  return named
    .filter((field) => given[field] !== undefined)
    .map((path) => ({ path, message: 'is for the provider `generic` only' }));
}

function secretErrors(provider: InboundProvider, secret: string): FieldError[] {
  if (provider !== 'standard' || /^whsec_[A-Za-z0-9+/]{8,}={0,2}$/.test(secret)) return [];
  return [{ path: 'secret', message: 'must be whsec_ and base64' }];
}

function refuse(errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  throw new ProblemError('invalid_request', 'the source cannot be so', errors);
}
