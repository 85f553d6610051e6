/** How our POSTs name themselves; a spec keeps the version equal to the package's. */
export const userAgent = 'Millrace-Webhooks/0.1.0';
