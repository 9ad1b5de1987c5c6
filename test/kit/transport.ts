/** A byte stream to a broker over TCP or WebSocket. The WebSocket side is written by hand, so that tests can split and corrupt frames. */

import { createHash, randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { within } from './until.ts';

export type TransportName = 'tcp' | 'ws';

/** The stream that a client writes to and reads from. */
export interface Transport {
  readonly socket: Socket;
  /** over WebSocket: one binary frame */
  write(bytes: Buffer): void;
  onData(handler: (bytes: Buffer) => void): void;
  /** called after the last data */
  onClose(handler: () => void): void;
}

/** A TCP connection. @throws Error when the port does not accept within 3 s */
export async function openTcp(port: number, host = '127.0.0.1'): Promise<Socket> {
  // The local address is the target address, a loopback one; the kernel might choose another.
  const socket = connectTcp({ port, host, localAddress: host, noDelay: true });
  await within(
    `connection to port ${port}`,
    3000,
    new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject)),
  );
  // A broker may close by a reset; 'close' follows.
  socket.on('error', () => undefined);
  return socket;
}

class TcpTransport implements Transport {
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  onData(handler: (bytes: Buffer) => void): void {
    this.socket.on('data', handler);
  }

  onClose(handler: () => void): void {
    this.socket.on('close', handler);
  }
}

export interface UpgradeOptions {
  path?: string;
  /** null: offer no subprotocol */
  protocol?: string | null;
}

/** The answer to a WebSocket upgrade: status code and headers in lower case. */
export interface Upgrade {
  status: number;
  headers: Record<string, string>;
  /** bytes behind the header */
  rest: Buffer;
}

/** Requests an upgrade on a fresh socket, and reads the header of the answer. */
export async function upgrade(socket: Socket, options: UpgradeOptions = {}): Promise<Upgrade> {
  const key = randomBytes(16).toString('base64');
  const lines = [
    `GET ${options.path ?? '/mqtt'} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
  ];
  lines.push('Sec-WebSocket-Version: 13');
  if (options.protocol !== null) lines.push(`Sec-WebSocket-Protocol: ${options.protocol ?? 'mqtt'}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const { head, rest } = await within('answer to the WebSocket upgrade', 3000, readHead(socket));
  const [first = '', ...others] = head.split('\r\n');
  const headers = Object.fromEntries(
    others.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const status = Number(first.split(' ')[1]);
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  if (status === 101 && headers['sec-websocket-accept'] !== accept) throw new Error('wrong Sec-WebSocket-Accept');
  return { status, headers, rest };
}

function readHead(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const onClose = (): void => reject(new Error('closed during the upgrade'));
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData).off('close', onClose);
      socket.pause();
      resolve({ head: bytes.subarray(0, end).toString('latin1'), rest: bytes.subarray(end + 4) });
    };
    socket.on('data', onData).on('close', onClose);
  });
}

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** The client side of one WebSocket connection, after the upgrade. */
export class WebSocketTransport implements Transport {
  readonly socket: Socket;
  #pending: Buffer;
  #message: Buffer[] = [];
  #onData: (bytes: Buffer) => void = () => undefined;

  constructor(socket: Socket, rest: Buffer) {
    this.socket = socket;
    this.#pending = rest;
  }

  write(bytes: Buffer): void {
    this.writeFrame('binary', bytes);
  }

  /** Writes one frame. Frames with `fin` false, then a `continuation`, form one message. */
  writeFrame(opcode: keyof typeof OPCODE, payload: Buffer, fin = true): void {
    const mask = randomBytes(4);
    const length = payload.length;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
    head[0] = OPCODE[opcode] | (fin ? 0x80 : 0);
    head[1] = 0x80 | (length < 126 ? length : length < 65536 ? 126 : 127);
    if (length >= 65536) head.writeBigUInt64BE(BigInt(length), 2);
    else if (length >= 126) head.writeUInt16BE(length, 2);
    const masked = Buffer.from(payload);
    for (let index = 0; index < length; index++) masked[index]! ^= mask[index & 3]!;
    this.socket.write(Buffer.concat([head, mask, masked]));
  }

  onData(handler: (bytes: Buffer) => void): void {
    this.#onData = handler;
    this.socket.on('data', (chunk) => {
      this.#pending = Buffer.concat([this.#pending, chunk]);
      while (this.#readFrame());
    });
    while (this.#readFrame());
    this.socket.resume();
  }

  onClose(handler: () => void): void {
    this.socket.on('close', handler);
  }

  #readFrame(): boolean {
    const bytes = this.#pending;
    if (bytes.length < 2) return false;
    const short = bytes[1]! & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < start) return false;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < start + length) return false;
    this.#pending = bytes.subarray(start + length);
    this.#handle(bytes[0]! & 0x0f, (bytes[0]! & 0x80) !== 0, bytes.subarray(start, start + length));
    return true;
  }

  #handle(opcode: number, fin: boolean, payload: Buffer): void {
    if (opcode === OPCODE.ping) this.writeFrame('pong', payload);
    else if (opcode === OPCODE.close) this.socket.end();
    // MQTT uses binary frames only [MQTT-6.0.0-1]: text is passed on as a byte that begins no packet.
    else if (opcode === OPCODE.text) this.#onData(Buffer.from([0]));
    else if (opcode !== OPCODE.pong) this.#handleBinary(fin, payload);
  }

  #handleBinary(fin: boolean, payload: Buffer): void {
    this.#message.push(payload);
    if (!fin) return;
    const whole = Buffer.concat(this.#message);
    this.#message = [];
    this.#onData(whole);
  }
}

/** An accepted WebSocket connection. @throws Error when the broker refuses the upgrade */
export async function openWebSocket(port: number, options: UpgradeOptions = {}, host?: string): Promise<WebSocketTransport> {
  const socket = await openTcp(port, host);
  const answer = await upgrade(socket, options);
  if (answer.status !== 101) throw new Error(`WebSocket upgrade answered ${answer.status}`);
  return new WebSocketTransport(socket, answer.rest);
}

/** A TLS connection after the client's part of the handshake. A TLS 1.3 server refuses a client certificate later, by closing. */
export async function openTls(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...options });
  socket.setNoDelay(true);
  await within(
    `TLS handshake with port ${port}`,
    5000,
    new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
  );
  socket.on('error', () => undefined);
  return socket;
}

/** An MQTTS or WSS connection. @throws Error when the handshake or the upgrade fails */
export async function openSecure(name: TransportName, port: number, options: ConnectionOptions): Promise<Transport> {
  const socket = await openTls(port, options);
  if (name === 'tcp') return new TcpTransport(socket);
  const answer = await upgrade(socket);
  if (answer.status !== 101) throw new Error(`WebSocket upgrade answered ${answer.status}`);
  return new WebSocketTransport(socket, answer.rest);
}

/** A connection over the named transport, with subprotocol `mqtt` and path `/mqtt` for WebSocket. */
export async function openTransport(name: TransportName, port: number, host?: string): Promise<Transport> {
  return name === 'tcp' ? new TcpTransport(await openTcp(port, host)) : openWebSocket(port, {}, host);
}
