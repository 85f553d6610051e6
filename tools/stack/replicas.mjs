/** Several processes of one service, and where each of them listens. */
import { serviceNames, serviceTable } from './environment.mjs';
import { freePort } from './ports.mjs';

/** More than this on one machine shows nothing that fewer do not. */
export const replicasMax = 8;

/**
 * @typedef {import('./environment.mjs').ServiceName} ServiceName
 * @typedef {number | Partial<Record<ServiceName, number>>} ReplicaCount of each service, or of
 *   those that are named; one of all others
 *
 * @typedef {object} Replica
 * @property {string} name of the process: the service's own, or `<service>-<n>` when it has several
 * @property {ServiceName} service
 * @property {number} port
 */

/**
 * The first replica has the port of the table, where the user expects the API; the others get any
 * port that is free, as `npm run status` shows.
 * @param {object} options
 * @param {import('./ports.mjs').Ports} options.ports
 * @param {readonly ServiceName[]} [options.services]
 * @param {ReplicaCount} [options.replicas]
 * @returns {Promise<Replica[]>}
 */
export function placeReplicas({ ports, services = serviceNames, replicas = 1 }) {
  return Promise.all(
    services.flatMap((service) => {
      const count = typeof replicas === 'number' ? replicas : (replicas[service] ?? 1);
      return Array.from({ length: count }, async (_, index) => ({
        name: count === 1 ? service : `${service}-${index + 1}`,
        service,
        port: index === 0 ? ports[serviceTable[service].port] : await freePort(),
      }));
    }),
  );
}
