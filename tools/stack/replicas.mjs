/** Several processes of one service, and where each of them listens. */
import { serviceNames, serviceTable } from './environment.mjs';
import { freePort } from './ports.mjs';

/** More than this on one machine shows nothing that fewer do not. */
export const replicasMax = 8;

/**
 * @typedef {object} Replica
 * @property {string} name of the process: the service's own, or `<service>-<n>` when it has several
 * @property {import('./environment.mjs').ServiceName} service
 * @property {number} port
 */

/**
 * The first replica has the port of the table, where the user expects the API; the others get any
 * port that is free, as `npm run status` shows.
 * @param {object} options
 * @param {import('./ports.mjs').Ports} options.ports
 * @param {readonly import('./environment.mjs').ServiceName[]} [options.services]
 * @param {number} [options.replicas]
 * @returns {Promise<Replica[]>}
 */
export function placeReplicas({ ports, services = serviceNames, replicas = 1 }) {
  return Promise.all(
    services.flatMap((service) =>
      Array.from({ length: replicas }, async (_, index) => ({
        name: replicas === 1 ? service : `${service}-${index + 1}`,
        service,
        port: index === 0 ? ports[serviceTable[service].port] : await freePort(),
      })),
    ),
  );
}
