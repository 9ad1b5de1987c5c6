/** One connection of the load generator: batched reads through one shared buffer, minimal framing, one write per loop iteration. */

import net from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Address, Load } from '../scenario.ts';
import { connect, frame, upgradeRequest } from './packets.ts';

/** Addresses of a storm; brokers listen on all of them. */
const ADDRESSES = 16;
const READ_BYTES = 256 * 1024;
const CONNECT_MS = 20_000;
/** All links read into the same memory, because a read is handled before the next one begins. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Handles the packets of a link. Bytes are valid during the call only. */
export interface PacketSink {
  /** a whole packet that is not CONNACK */
  onPacket(link: Link, first: number, buf: Buffer, body: number, end: number): void;
  onEnd(link: Link, reason: string): void;
}

/**
 * The address of a connection. In a storm a single address runs out of ports after two seconds, because closed ports wait in TIME_WAIT. The
 * kernel then searches all ports for a free one for 200 ms, which is not the broker's time. On Linux all of 127.0.0.0/8 is this machine.
 */
function hostOf({ kind }: Load, index: number): string {
  return kind === 'storm' && process.platform === 'linux' ? `127.0.0.${1 + (index % ADDRESSES)}` : '127.0.0.1';
}

export class Link {
  readonly index: number;
  readonly #socket: net.Socket;
  readonly #load: Load;
  #sink: PacketSink | null = null;
  /** bytes of an incomplete packet, and their number */
  #rest: Buffer | null = null;
  #restLength = 0;
  #opened: ((error: Error | null) => void) | null = null;
  #isUpgraded: boolean;
  /** missing payload bytes of the current WebSocket frame; header bytes so far */
  #frameLeft = 0;
  #frameHead = Buffer.alloc(0);
  #acks = Buffer.allocUnsafe(512);
  #ackLength = 0;
  #isClosing = false;

  /** @param to an address, or a port of this machine */
  constructor(load: Load, to: Address | number, index: number, clientId: string) {
    this.#load = load;
    this.index = index;
    this.#isUpgraded = !load.isWebsocket;
    const { host, port } = typeof to === 'number' ? { host: hostOf(load, index), port: to } : to;
    this.#socket = load.isTls ? this.#connectTls(host, port) : this.#connect(host, port);
    this.#socket.once(load.isTls ? 'secureConnect' : 'connect', () => {
      if (load.isWebsocket) this.#socket.write(upgradeRequest(port));
      this.#clientId = clientId;
      if (!load.isWebsocket) this.send(connect(load, clientId));
    });
    this.#socket.on('error', (error) => this.#ended(error.message));
    this.#socket.on('close', () => this.#ended('closed by the broker'));
  }

  #clientId = '';

  #connect(host: string, port: number): net.Socket {
    const onread = { buffer: shared, callback: (bytes: number) => this.#onRead(bytes) };
    return net.connect({ host, port, noDelay: true, onread });
  }

  /** Node has no shared buffer for the reads of a TLS socket. */
  #connectTls(host: string, port: number): net.Socket {
    const socket = connectTls({ host, port, rejectUnauthorized: false });
    socket.setNoDelay(true);
    return socket.on('data', (chunk: Buffer) => void this.#onRead(chunk.copy(shared)));
  }

  /** Resolves with CONNACK. @throws Error when no CONNACK arrives, or it refuses the connection */
  opened(): Promise<this> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#opened?.(new Error('no CONNACK')), CONNECT_MS);
      this.#opened = (error) => {
        clearTimeout(timer);
        this.#opened = null;
        if (error === null) resolve(this);
        else reject(error);
      };
    });
  }

  listen(sink: PacketSink): void {
    this.#sink = sink;
  }

  /** Sends bytes. @returns true when the kernel has taken all of them, so that the buffer is free again */
  send(bytes: Buffer): boolean {
    const { isWebsocket, isFramedEach } = this.#load;
    if (isFramedEach) this.#socket.write(Buffer.concat(packetsOf(bytes).map(frame)));
    else this.#socket.write(isWebsocket ? frame(bytes) : bytes);
    return this.isWritable;
  }

  onceWritable(go: () => void): void {
    this.#socket.once('drain', go);
  }

  /** A TLS write never ends at once, and `frame` has copied its bytes. */
  get isWritable(): boolean {
    return this.#load.isTls ? !this.#socket.writableNeedDrain : this.#socket.writableLength === 0;
  }

  /** Adds an acknowledgement of four bytes to the next `flush`. @returns true when it is the first */
  ack(first: number, high: number, low: number): boolean {
    if (this.#ackLength + 4 > this.#acks.length) {
      const larger = Buffer.allocUnsafe(this.#acks.length * 2);
      this.#acks.copy(larger);
      this.#acks = larger;
    }
    const at = this.#ackLength;
    this.#acks[at] = first;
    this.#acks[at + 1] = 2;
    this.#acks[at + 2] = high;
    this.#acks[at + 3] = low;
    this.#ackLength = at + 4;
    return at === 0;
  }

  flush(): void {
    if (this.#ackLength === 0) return;
    const length = this.#ackLength;
    this.#ackLength = 0;
    if (!this.send(this.#acks.subarray(0, length))) this.#acks = Buffer.allocUnsafe(512);
  }

  close(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  #ended(reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#opened?.(new Error(reason));
    this.#sink?.onEnd(this, reason);
  }

  #onRead(bytes: number): boolean {
    if (this.#isUpgraded && !this.#load.isWebsocket) this.#bytes(shared, 0, bytes);
    else if (this.#isUpgraded) this.#frames(shared, 0, bytes);
    else this.#upgrade(bytes);
    return true;
  }

  #upgrade(bytes: number): void {
    const end = shared.subarray(0, bytes).indexOf('\r\n\r\n');
    if (end < 0 || !shared.latin1Slice(0, 13).startsWith('HTTP/1.1 101')) {
      this.#ended(`no upgrade: ${shared.latin1Slice(0, Math.min(bytes, 40))}`);
      return;
    }
    this.#isUpgraded = true;
    this.send(connect(this.#load, this.#clientId));
    if (end + 4 < bytes) this.#frames(shared, end + 4, bytes);
  }

  /** Removes the frame headers. A header in two pieces is rare and is joined in a buffer of its own. */
  #frames(buf: Buffer, at: number, end: number): void {
    while (at < end) {
      if (this.#frameLeft > 0) {
        const stop = Math.min(end, at + this.#frameLeft);
        this.#frameLeft -= stop - at;
        this.#bytes(buf, at, stop);
        at = stop;
        continue;
      }
      const kind = this.#frameHead.length > 1 ? this.#frameHead[1]! : this.#frameHead.length === 1 ? buf[at]! : (buf[at + 1] ?? 0);
      const size = kind === 127 ? 10 : kind === 126 ? 4 : 2;
      const missing = size - this.#frameHead.length;
      const part = buf.subarray(at, Math.min(end, at + missing));
      at += part.length;
      if (this.#frameHead.length === 0 && part.length === size) this.#frameLeft = frameSize(part, size);
      else {
        this.#frameHead = Buffer.concat([this.#frameHead, part]);
        // With only the first byte present, the size was a guess.
        if (this.#frameHead.length < size || this.#frameHead.length < 2) continue;
        this.#frameLeft = frameSize(this.#frameHead, size);
        this.#frameHead = Buffer.alloc(0);
      }
    }
  }

  #bytes(buf: Buffer, at: number, end: number): void {
    if (this.#rest !== null) at = this.#complete(buf, at, end);
    while (at < end) {
      const size = packetSize(buf, at, end);
      if (size === 0 || at + size > end) {
        this.#rest = Buffer.allocUnsafe(Math.max(size, 5));
        this.#restLength = buf.copy(this.#rest, 0, at, end);
        return;
      }
      this.#packet(buf, at, at + size);
      at += size;
    }
  }

  /** Completes the partial packet. @returns where it stopped */
  #complete(buf: Buffer, at: number, end: number): number {
    for (;;) {
      const rest = this.#rest!;
      const size = packetSize(rest, 0, this.#restLength);
      if (size > rest.length) {
        const larger = Buffer.allocUnsafe(size);
        rest.copy(larger, 0, 0, this.#restLength);
        this.#rest = larger;
        continue;
      }
      if (size > 0 && this.#restLength === size) {
        this.#rest = null;
        this.#packet(rest, 0, size);
        return at;
      }
      if (at === end) return at;
      const stop = size === 0 ? at + 1 : Math.min(end, at + size - this.#restLength);
      this.#restLength += buf.copy(rest, this.#restLength, at, stop);
      at = stop;
    }
  }

  #packet(buf: Buffer, at: number, end: number): void {
    const first = buf[at]!;
    let body = at + 1;
    while (buf[body]! > 127) body++;
    body++;
    if (first === 0x20) {
      const code = buf[body + 1]!;
      this.#opened?.(code === 0 ? null : new Error(`CONNECT refused with ${code}`));
    } else this.#sink?.onPacket(this, first, buf, body, end);
  }
}

function frameSize(head: Buffer, size: number): number {
  if (size === 2) return head[1]!;
  return size === 4 ? head.readUInt16BE(2) : head.readUInt32BE(6);
}

function packetsOf(bytes: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + packetSize(bytes, at, bytes.length);
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return packets;
}

/** Bytes of the whole packet at `at`; 0 while its header is incomplete. */
function packetSize(buf: Buffer, at: number, end: number): number {
  let length = 0;
  let shift = 0;
  for (let i = at + 1; i < end; i++) {
    const byte = buf[i]!;
    length |= (byte & 127) << shift;
    if (byte < 128) return i + 1 - at + length;
    shift += 7;
  }
  return 0;
}
