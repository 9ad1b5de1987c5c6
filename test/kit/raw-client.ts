/** A client that sends any bytes and shows every packet that arrives. It does nothing by itself. */

import { messageOf } from '../../src/kernel/errors.ts';
import type { PacketOf, Publish, ServerPacket } from './decode.ts';
import { Splitter } from './decode.ts';
import type { ConnectOptions, Filter, PublishOptions, QoS, Version } from './encode.ts';
import * as encode from './encode.ts';
import { patience } from './load.ts';
import type { Properties } from './properties.ts';
import type { Transport, TransportName } from './transport.ts';
import { openTransport } from './transport.ts';
import { quiet } from './until.ts';

/** How long a packet may take, milliseconds of an idle machine: generous. */
const PATIENCE_MS = 5000;

const open = new Set<RawClient>();

/** Destroys every client that is still open. */
export function destroyAll(): void {
  for (const client of open) client.destroy();
}

/** One connection to a broker. */
export class RawClient {
  readonly version: Version;
  readonly transport: Transport;
  readonly #splitter: Splitter;
  /** packets that `next` has not taken yet */
  readonly inbox: ServerPacket[] = [];
  #wake: () => void = () => undefined;
  #failure: Error | null = null;
  #nextId = 0;
  isClosed = false;
  /** the CONNACK, after `handshake` */
  connack: PacketOf<'connack'> | null = null;
  /** called for each packet instead of putting it into the inbox */
  tap: ((packet: ServerPacket) => void) | null = null;

  private constructor(version: Version, transport: Transport) {
    this.version = version;
    this.transport = transport;
    this.#splitter = new Splitter(version);
    open.add(this);
    transport.onClose(() => {
      this.isClosed = true;
      open.delete(this);
      this.#wake();
    });
    transport.onData((bytes) => this.#receive(bytes));
  }

  /** Opens a connection and sends nothing. */
  static async open(transport: TransportName, port: number, version: Version, host?: string): Promise<RawClient> {
    return new RawClient(version, await openTransport(transport, port, host));
  }

  /** A client on a connection that the test opened itself. */
  static over(transport: Transport, version: Version): RawClient {
    return new RawClient(version, transport);
  }

  /** Length of the largest packet received so far, bytes. */
  get largest(): number {
    return this.#splitter.largest;
  }

  #receive(bytes: Buffer): void {
    try {
      for (const packet of this.#splitter.push(bytes)) {
        if (this.tap) this.tap(packet);
        else this.inbox.push(packet);
      }
    } catch (error) {
      this.#failure = new Error(
        `the broker sent bytes that are not allowed: ${messageOf(error)} (${bytes.subarray(0, 64).toString('hex')})`,
      );
    }
    this.#wake();
  }

  /** Sends bytes unchanged; over WebSocket as one binary frame. */
  send(...bytes: Buffer[]): void {
    this.transport.write(Buffer.concat(bytes));
  }

  /** The next packet. @throws Error when no packet arrives in time, or the connection ends first */
  async next(timeoutMs = patience(PATIENCE_MS)): Promise<ServerPacket> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      if (this.#failure) throw this.#failure;
      const packet = this.inbox.shift();
      if (packet) return packet;
      if (this.isClosed) throw new Error('the connection is closed and no packet is left');
      const left = end - performance.now();
      if (left <= 0) throw new Error(`no packet within ${timeoutMs} ms`);
      await this.#woken(left);
    }
  }

  #woken(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The next packet, which must be of that type. */
  async expect<T extends ServerPacket['type']>(type: T, timeoutMs = patience(PATIENCE_MS)): Promise<PacketOf<T>> {
    let packet: ServerPacket;
    try {
      packet = await this.next(timeoutMs);
    } catch (error) {
      throw new Error(`${type} expected: ${messageOf(error)}`);
    }
    if (packet.type !== type) throw new Error(`${type} expected, got ${JSON.stringify(packet)}`);
    return packet as PacketOf<T>;
  }

  /** `count` PUBLISH packets, in the order of arrival. */
  async publishes(count: number, timeoutMs = patience(PATIENCE_MS)): Promise<Publish[]> {
    const all: Publish[] = [];
    while (all.length < count) {
      try {
        all.push(await this.expect('publish', timeoutMs));
      } catch (error) {
        throw new Error(
          `${count} PUBLISH expected, ${all.length} came (${all.map((each) => each.payload.toString()).join(', ')}): ${messageOf(error)}`,
        );
      }
    }
    return all;
  }

  /** Waits until the broker closes the connection; returns the packets that came before. @throws Error when the connection stays open */
  async closed(timeoutMs = patience(PATIENCE_MS)): Promise<ServerPacket[]> {
    const end = performance.now() + timeoutMs;
    while (!this.isClosed) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`the broker did not close within ${timeoutMs} ms; it said ${JSON.stringify(this.inbox)}`);
      await this.#woken(left);
    }
    if (this.#failure) throw this.#failure;
    return this.inbox.splice(0);
  }

  /**
   * Expects the broker to close the connection because of what was sent. MQTT 5 requires a DISCONNECT with one of `codes` as the last
   * packet; older versions get none [MQTT-4.13.1-1, MQTT-4.8.0-1]. Acknowledgements of earlier packets may come before.
   */
  async refused(...codes: number[]): Promise<void> {
    const said = await this.closed();
    const ends = said.filter((packet) => packet.type === 'disconnect');
    if (this.version < 5) return;
    const last = said.at(-1);
    if (ends.length !== 1 || last?.type !== 'disconnect')
      throw new Error(`DISCONNECT expected as the last packet, got ${JSON.stringify(said)}`);
    if (codes.length > 0 && !codes.includes(last.code)) {
      const wanted = codes.map((code) => `0x${code.toString(16)}`).join(' or ');
      throw new Error(`DISCONNECT ${wanted} expected, got 0x${last.code.toString(16)} ${last.properties.reasonString ?? ''}`);
    }
  }

  /** Expects no packet for `ms` milliseconds, and an open connection. */
  async silence(ms = 150): Promise<void> {
    await quiet(ms, 'a packet, or the end of the connection');
    if (this.#failure) throw this.#failure;
    if (this.inbox.length > 0) throw new Error(`nothing expected, got ${JSON.stringify(this.inbox)}`);
    if (this.isClosed) throw new Error('the connection was closed');
  }

  /** Sends CONNECT and returns the CONNACK, whatever its code. */
  async handshake(options: ConnectOptions = {}): Promise<PacketOf<'connack'>> {
    this.send(encode.connect(this.version, options));
    this.connack = await this.expect('connack');
    return this.connack;
  }

  /** The next packet identifier, 1..65535. */
  id(): number {
    this.#nextId = (this.#nextId % 65535) + 1;
    return this.#nextId;
  }

  /** Sends SUBSCRIBE with one filter or several. The SUBACK must grant the requested QoS. Messages before it stay in the inbox. */
  async subscribe(filters: string | (string | Filter)[], qos: QoS = 0, properties?: Properties): Promise<PacketOf<'suback'>> {
    const list = (Array.isArray(filters) ? filters : [filters]).map((each) => (typeof each === 'string' ? { filter: each, qos } : each));
    const suback = await this.subscribeRaw(list, properties);
    const refusal = suback.codes.findIndex((code, index) => code !== (list[index]!.qos ?? 0));
    if (refusal >= 0) throw new Error(`SUBACK ${suback.codes.join(', ')} for ${JSON.stringify(list)}`);
    return suback;
  }

  /** Sends SUBSCRIBE and returns the SUBACK, whatever its codes. */
  async subscribeRaw(filters: Filter[], properties?: Properties): Promise<PacketOf<'suback'>> {
    const id = this.id();
    this.send(encode.subscribe(this.version, id, filters, properties));
    const suback = await this.#passing('suback');
    if (suback.id !== id) throw new Error(`SUBACK for ${suback.id}, not for ${id}`);
    return suback;
  }

  /** Sends UNSUBSCRIBE and returns the UNSUBACK. */
  async unsubscribe(...filters: string[]): Promise<PacketOf<'unsuback'>> {
    const id = this.id();
    this.send(encode.unsubscribe(this.version, id, filters));
    const unsuback = await this.#passing('unsuback');
    if (unsuback.id !== id) throw new Error(`UNSUBACK for ${unsuback.id}, not for ${id}`);
    return unsuback;
  }

  /** Sends PUBLISH and completes the handshake of its QoS. Returns the reason code of PUBACK or PUBREC, 0 for QoS 0. */
  async publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<number> {
    const qos = options.qos ?? 0;
    const id = qos === 0 ? 0 : (options.id ?? this.id());
    this.send(encode.publish(this.version, topic, payload, { ...options, id }));
    if (qos === 0) return 0;
    const first = await this.#passing(qos === 1 ? 'puback' : 'pubrec');
    if (first.id !== id) throw new Error(`${first.type} for ${first.id}, not for ${id}`);
    if (qos === 1 || first.code >= 0x80) return first.code;
    this.send(encode.pubrel(id));
    const last = await this.#passing('pubcomp');
    if (last.id !== id || last.code !== 0) throw new Error(`PUBCOMP for ${last.id} with ${last.code}, not for ${id}`);
    return first.code;
  }

  /** Takes the next packet, which must be a PUBLISH, and acknowledges it completely. */
  async take(timeoutMs = patience(PATIENCE_MS)): Promise<Publish> {
    const message = await this.expect('publish', timeoutMs);
    await this.acknowledge(message);
    return message;
  }

  /** Acknowledges a received PUBLISH completely; messages that arrive in between stay in the inbox. */
  async acknowledge(message: Publish): Promise<void> {
    if (message.qos === 1) this.send(encode.puback(message.id));
    if (message.qos !== 2) return;
    this.send(encode.pubrec(message.id));
    const release = await this.#passing('pubrel');
    if (release.id !== message.id) throw new Error(`PUBREL for ${release.id}, not for ${message.id}`);
    this.send(encode.pubcomp(message.id));
  }

  /** The next packet that is not a PUBLISH, which must be of that type. */
  async #passing<T extends ServerPacket['type']>(type: T): Promise<PacketOf<T>> {
    const passed: ServerPacket[] = [];
    try {
      for (;;) {
        const packet = await this.next();
        if (packet.type === type) return packet as PacketOf<T>;
        if (packet.type !== 'publish') throw new Error(`${type} expected, got ${JSON.stringify(packet)}`);
        passed.push(packet);
      }
    } finally {
      this.inbox.unshift(...passed);
    }
  }

  /** Acknowledges everything from now on, and passes each message to `handler`, at QoS 2 only once. */
  autoAcknowledge(handler: (message: Publish) => void): void {
    const received = new Set<number>();
    const handle = (packet: ServerPacket): void => {
      if (packet.type === 'publish') {
        if (packet.qos === 1) this.send(encode.puback(packet.id));
        if (packet.qos === 2) this.send(encode.pubrec(packet.id));
        if (packet.qos === 2 && received.has(packet.id)) return;
        if (packet.qos === 2) received.add(packet.id);
        handler(packet);
      } else if (packet.type === 'pubrel') {
        received.delete(packet.id);
        this.send(encode.pubcomp(packet.id));
      } else {
        this.inbox.push(packet);
      }
    };
    this.tap = handle;
    for (const packet of this.inbox.splice(0)) handle(packet);
  }

  /** Sends PINGREQ and waits for PINGRESP: the broker has then read everything sent before. */
  async ping(): Promise<void> {
    this.send(encode.pingreq());
    await this.#passing('pingresp');
  }

  /** Sends DISCONNECT and waits until the connection ends. */
  async disconnect(code?: number, properties?: Properties): Promise<void> {
    this.send(encode.disconnect(code, properties));
    await this.closed();
  }

  /** Cuts the connection without a DISCONNECT. */
  destroy(): void {
    open.delete(this);
    this.transport.socket.destroy();
  }

  /** Cuts the connection and waits until this side has noticed. */
  async cut(): Promise<void> {
    this.destroy();
    await this.closed();
  }
}
