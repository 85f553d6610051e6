/** What a server was sent: who asked for what, when, and what became of the connection. */

/** @typedef {import('./agent-history.ts').Send} Send */

export class SendRecord {
  /** @type {any[]} */
  #sends = [];
  /** @type {Map<import('node:net').Socket, any[]>} sends of a connection that is open */
  #open = new Map();

  /** Of a `node:http` server, before it listens. */
  watch(/** @type {import('node:http').Server} */ server) {
    server.on('connection', (socket) => {
      this.#open.set(socket, []);
      socket.on('close', () => {
        const endedAtMs = Date.now();
        for (const send of this.#open.get(socket) ?? []) send.connectionEndedAtMs = endedAtMs;
        this.#open.delete(socket);
      });
    });
  }

  /**
   * A request that came whole.
   * @param {{ request: import('node:http').IncomingMessage,
   *   response: import('node:http').ServerResponse, facts: object }} received
   */
  add({ request, response, facts }) {
    const times = { receivedAtMs: Date.now(), answeredAtMs: null, connectionEndedAtMs: null };
    const send = { ...facts, ...times };
    this.#sends.push(send);
    // One whose connection is gone already was read out of what it left behind.
    const open = this.#open.get(request.socket);
    if (open === undefined) send.connectionEndedAtMs = Date.now();
    else open.push(send);
    response.on('finish', () => (send.answeredAtMs = Date.now()));
  }

  get sends() {
    return this.#sends;
  }
}
