import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

/** A certificate and its key, as a TLS server takes them. */
export interface Certified {
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certified {
  /** Certifies a server of that name. */
  issue(hostname: string, validity?: Validity): Certified;
}

export interface Validity {
  readonly from: Date;
  readonly to: Date;
}

interface Wish {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signedWith: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly validity: Validity;
}

const dayMs = 86_400_000;
const around: Validity = {
  from: new Date(Date.now() - dayMs),
  to: new Date(Date.now() + dayMs),
};

/** Certificates are made anew for each run: those in a repository expire one day. */
export function createAuthority(name: string): Authority {
  const pair = newPair();
  const cert = certificate({
    subject: name,
    issuer: name,
    publicKey: pair.publicKey,
    signedWith: pair.privateKey,
    extensions: [extension('551d13', sequence(tagged(0x01, Buffer.from([0xff]))))],
    validity: around,
  });
  return {
    cert,
    key: pemOf(pair.privateKey),
    issue: (hostname, validity = around) => issueFor(hostname, name, pair.privateKey, validity),
  };
}

/** A server's certificate that nobody but itself vouches for. */
export function selfSigned(hostname: string): Certified {
  return issueFor(hostname, hostname, null, around);
}

function issueFor(
  hostname: string,
  issuer: string,
  issuerKey: KeyObject | null,
  validity: Validity,
): Certified {
  const { publicKey, privateKey } = newPair();
  const dnsName = tagged(0x82, Buffer.from(hostname, 'ascii'));
  const cert = certificate({
    subject: hostname,
    issuer,
    publicKey,
    signedWith: issuerKey ?? privateKey,
    extensions: [extension('551d11', sequence(dnsName))],
    validity,
  });
  return { cert, key: pemOf(privateKey) };
}

/** RFC 5280, section 4.1: version 3, signed with ECDSA over SHA-256. */
function certificate(wish: Wish): string {
  const algorithm = sequence(tagged(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
  const signed = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    // Positive, and with no zero in front: DER takes it in no other form.
    tagged(0x02, Buffer.concat([Buffer.from([0x40]), randomBytes(8)])),
    algorithm,
    nameOf(wish.issuer),
    sequence(timeOf(wish.validity.from), timeOf(wish.validity.to)),
    nameOf(wish.subject),
    wish.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...wish.extensions)),
  );
  const signature = tagged(
    0x03,
    Buffer.concat([Buffer.from([0]), sign('sha256', signed, wish.signedWith)]),
  );
  const text = sequence(signed, algorithm, signature).toString('base64');
  const lines = text.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function newPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A distinguished name of one common name. */
function nameOf(commonName: string): Buffer {
  const attribute = sequence(
    tagged(0x06, Buffer.from('550403', 'hex')),
    tagged(0x0c, Buffer.from(commonName)),
  );
  return sequence(tagged(0x31, attribute));
}

function extension(oidHex: string, value: Buffer): Buffer {
  const critical = tagged(0x01, Buffer.from([0xff]));
  return sequence(tagged(0x06, Buffer.from(oidHex, 'hex')), critical, tagged(0x04, value));
}

function timeOf(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return tagged(0x17, Buffer.from(digits.slice(2)));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

/** One element of DER: what it is, how long it is, what is in it. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const hex = length.toString(16);
  const size = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length]), size, content]);
}
