import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Connections over which nothing has come yet, as browsers and load balancers open them ahead.
 * Node's own close waits for them like for a request: a stop would take until their headers are
 * overdue.
 */
export class UnusedConnections {
  readonly #open = new Set<Socket>();
  #closing = false;

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      if (this.#closing) {
        socket.destroy();
        return;
      }
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
    server.on('request', ({ socket }) => this.#open.delete(socket));
  }

  /** Ends them, and whatever connects from now on. Those with a request under way go on. */
  close(): void {
    this.#closing = true;
    for (const socket of this.#open) {
      if (socket.bytesRead === 0) socket.destroy();
    }
  }
}
