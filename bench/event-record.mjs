/** Records as services publish them, for what a bench says in their place. */

/** Of all that a bench makes up. */
export const createdAt = new Date().toISOString();

/**
 * @param {string} topic
 * @param {string} type
 * @param {{ id: string, key: string, tenant?: string, data: object, traceparent?: string }} event
 */
export function eventRecord(topic, type, { id, key, tenant = 'default', data, traceparent }) {
  const headers = {
    ce_id: id,
    ce_type: type,
    ce_source: '/bench',
    ce_specversion: '1.0',
    ce_time: createdAt,
    ce_tenant: tenant,
    'content-type': 'application/json',
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  return { topic, key, headers, value: JSON.stringify(data) };
}
