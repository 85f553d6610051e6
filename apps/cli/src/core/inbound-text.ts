import type { InboundSourceView } from '@millrace/contracts';

import { fields } from './table.ts';

/** A source as a person reads it. Its address is a secret's neighbour: who has it may knock. */
export function inboundSourceText(source: InboundSourceView): string {
  return fields({
    id: source.id,
    name: source.name,
    provider: source.provider,
    path: source.path,
    events: source.events === undefined ? 'all' : source.events.join(' '),
    signature: source.signature_header,
    delivery: source.delivery_header,
    status: source.enabled ? 'enabled' : 'disabled',
    secrets: source.secrets,
    template: JSON.stringify(source.template),
    made: source.created_at,
    changed: source.changed_at,
  });
}
