/** A small DNS server for tests, over UDP. It answers for the configured names, and with "no such name" for all others. */

import { createSocket, type Socket } from 'node:dgram';

export interface SrvRecord {
  target: string;
  port: number;
  priority?: number;
  weight?: number;
}

/** The records of one name. */
export interface Zone {
  srv?: SrvRecord[];
  a?: string[];
}

const TYPES = { a: 1, srv: 33 } as const;
const HEADER_BYTES = 12;
const CLASS_IN = 1;
const NO_SUCH_NAME = 3;

export class DnsServer {
  /** Zones by lower-case name without the final dot; may change at any time. */
  readonly zones = new Map<string, Zone>();
  /** Questions so far, such as `SRV nats.default.svc.cluster.local`. */
  readonly asked: string[] = [];
  /** false: the server reads questions but does not answer */
  isAnswering = true;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (query, { port, address }) => {
      const answer = this.#answer(query);
      if (answer !== null) socket.send(answer, port, address);
    });
  }

  static async start(): Promise<DnsServer> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', resolve);
    });
    return new DnsServer(socket);
  }

  /** `127.0.0.1:port` */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(query: Buffer): Buffer | null {
    const { name, end } = readName(query);
    const type = query.readUInt16BE(end);
    this.asked.push(`${type === TYPES.srv ? 'SRV' : type === TYPES.a ? 'A' : String(type)} ${name}`);
    if (!this.isAnswering) return null;
    const zone = this.zones.get(name);
    const records = type === TYPES.srv ? (zone?.srv ?? []).map(encodeSrv) : type === TYPES.a ? (zone?.a ?? []).map(encodeA) : [];
    const header = Buffer.alloc(HEADER_BYTES);
    query.copy(header, 0, 0, 2);
    // Flags: response, recursion desired and available; the response code of a name without a zone is NXDOMAIN.
    header.writeUInt16BE(0x8180 | (zone === undefined ? NO_SUCH_NAME : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    const question = query.subarray(HEADER_BYTES, end + 4);
    return Buffer.concat([header, question, ...records.map((data) => encodeRecord(type, data))]);
  }
}

function readName(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function encodeA(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function encodeSrv({ target, port, priority = 0, weight = 0 }: SrvRecord): Buffer {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16BE(priority, 0);
  numbers.writeUInt16BE(weight, 2);
  numbers.writeUInt16BE(port, 4);
  return Buffer.concat([numbers, encodeName(target)]);
}

/** Encodes a record whose name is a pointer to the question's name, with a time to live of 0. */
function encodeRecord(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(0, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
