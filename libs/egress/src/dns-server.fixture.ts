import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const headerBytes = 12;
/** Its type and its class. */
const questionTailBytes = 4;

/** A name server that answers each query for an A record with the next address of a list. */
export class DnsServer {
  asked = 0;
  private readonly socket: Socket = createSocket('udp4');

  constructor(private readonly answers: readonly string[]) {}

  /** @returns where it listens, as `Resolver.setServers` takes it. */
  async start(): Promise<string> {
    this.socket.on('message', (query, { port, address }) => {
      const answer = this.answers[this.asked++ % this.answers.length] ?? '';
      this.socket.send(responseTo(query, answer), port, address);
    });
    this.socket.bind(0, '127.0.0.1');
    await once(this.socket, 'listening');
    return `127.0.0.1:${this.socket.address().port}`;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.socket.close(() => resolve()));
  }
}

/** RFC 1035, section 4: one question, one answer that may be kept for no time at all. */
function responseTo(query: Buffer, address: string): Buffer {
  const header = Buffer.alloc(headerBytes);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 6);
  const question = query.subarray(headerBytes, endOfName(query) + questionTailBytes);
  const record = Buffer.from('c00c00010001000000000004', 'hex');
  return Buffer.concat([header, question, record, Buffer.from(address.split('.').map(Number))]);
}

function endOfName(query: Buffer): number {
  let at = headerBytes;
  while (query[at] !== 0 && at < query.length) at += 1 + (query[at] ?? 0);
  return at + 1;
}
