import type { RedeliveryView } from '@millrace/contracts';

import { fields } from './table.ts';

/** A redelivery as a person reads it. */
export function redeliveryText(redelivery: RedeliveryView): string {
  return fields({
    id: redelivery.id,
    state: redelivery.state,
    since: redelivery.since,
    until: redelivery.until,
    published: redelivery.published,
    created: redelivery.created_at,
    finished: redelivery.finished_at,
  });
}
