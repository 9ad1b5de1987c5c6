/** The output to one client, in its protocol version, with its topic aliases and within its Maximum Packet Size. */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import { observe, SIZE_BUCKETS, SLOT, sizeBase } from '../../../../src/metrics/counters.ts';
import {
  ACK,
  type Acknowledgement,
  ackSize,
  type PublishEncoding,
  publishSize,
  writeAck,
  writePublish,
} from '../../../../src/mqtt/encode-publish.ts';
import type { ProtocolVersion, QoS } from '../../../../src/mqtt/packet.ts';
import { EMPTY, type Message, type PlainPacket } from '../../../shared/messages/message.ts';
import type { Run } from '../../../shared/messages/run.ts';
import { runFor } from '../../../shared/messages/run.ts';
import type { SessionOutlet } from '../../../shared/session/outlet.ts';
import type { Connection } from '../../connection/connection.ts';
import type { EndpointContext, WorkerContext } from '../context/context.ts';
import { logPacket } from '../context/tap.ts';
import { Output } from './output.ts';

/** Bytes that may wait for a client that does not read. Above this limit the client's QoS 0 messages are dropped. */
const SLOW_BYTES = 1024 * 1024;
/**
 * Bytes of topics with an alias for one client, together. The client chooses the number of aliases, and publishers the length of topics.
 */
const ALIAS_BYTES_MAX = 64 * 1024;
const SIZE_OUT = sizeBase('out');

/** Reused for every packet: the encoder only reads it. */
const encoding: PublishEncoding = {
  version: 4,
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  topic: EMPTY,
  payload: EMPTY,
  topicAlias: 0,
  messageExpiryInterval: -1,
  subscriptionIdentifiers: [],
  forward: EMPTY,
};

/** The client that a sender writes to. */
export interface SenderOwner {
  readonly clientId: string;
  readonly context: WorkerContext;
  /** The session's connection: see SessionOutlet. */
  takenOver(): void;
  setWill(will: null): void;
}

/** Its session writes to the sender directly, without a call of the client for each message. */
export class Sender implements SessionOutlet {
  readonly out: Output;
  readonly #endpoint: EndpointContext;
  readonly owner: SenderOwner;
  version: ProtocolVersion = 4;
  /** the client's Maximum Packet Size; 0 = none */
  maximumPacketSize = 0;
  /** number of topics with an alias: the lower of the client's Topic Alias Maximum and the server's limit */
  topicAliasMaximum = 0;
  /** set when the client goes online */
  sendWindow = 0;
  #aliases: Map<string, number> | null = null;
  #aliasBytes = 0;

  constructor(connection: Connection, endpoint: EndpointContext, owner: SenderOwner) {
    this.out = new Output(connection);
    this.#endpoint = endpoint;
    this.owner = owner;
  }

  get isSlow(): boolean {
    const { out } = this;
    if (out.pendingBytes <= this.#slowBytes) return false;
    // Output may wait only because this loop iteration has not ended: a flush shows whether the client reads.
    if (!out.isBlocked) out.flush();
    return out.isBlocked && out.pendingBytes > this.#slowBytes;
  }

  /** The limit is lower while memory is short. */
  get #slowBytes(): number {
    return this.owner.context.memory.isTight ? SLOW_BYTES / 16 : SLOW_BYTES;
  }

  /** Bytes of waiting output, and of the topics with an alias. */
  get heldBytes(): number {
    return this.out.pendingBytes + this.#aliasBytes;
  }

  /** True while the client has not read its output: output without urgency waits. Flushes first, so that the kernel decides. */
  get isBehind(): boolean {
    const { out } = this;
    if (!out.isBlocked && out.pendingBytes > 0) out.flush();
    return out.isBlocked;
  }

  get takesRuns(): boolean {
    return this.topicAliasMaximum === 0 && this.maximumPacketSize === 0;
  }

  sendRun(run: Run): void {
    const { buf, start, end } = runFor(run, this.version === 5 ? 5 : 4);
    this.out.append(buf, start, end);
    const { slots } = this.#endpoint;
    slots[SLOT.messagesSent]! += run.count;
    slots[SLOT.bytesSent]! += end - start;
    observe(slots, SIZE_OUT, SIZE_BUCKETS, (end - start) / run.count, run.count);
    if (this.#endpoint.isTapped) this.#tap(buf, start, end);
  }

  /** @returns false when the packet would be larger than the client's Maximum Packet Size [MQTT-3.1.2-24] */
  sendPublish(message: Message, qos: QoS, retain: boolean, dup: boolean, packetId: number, identifiers: readonly number[]): boolean {
    const { packet } = message;
    if (
      packet !== null &&
      message.qos === qos &&
      identifiers.length === 0 &&
      this.takesRuns &&
      packet.version === (this.version === 5 ? 5 : 4)
    ) {
      this.#sendPacket(packet, qos, retain, dup, packetId);
      return true;
    }
    const o = encoding;
    o.version = this.version;
    o.qos = qos;
    o.retain = retain;
    o.dup = dup;
    o.packetId = packetId;
    o.payload = message.payload;
    o.topic = message.topicBytes;
    o.topicAlias = 0;
    if (this.version === 5) {
      o.messageExpiryInterval = message.expiresAt === 0 ? -1 : message.remainingSeconds(steadyNow());
      o.forward = message.forward;
      o.subscriptionIdentifiers = identifiers;
      if (this.topicAliasMaximum > 0) this.#useAlias(o, message.topic);
    }
    const size = publishSize(o);
    if (this.maximumPacketSize !== 0 && size > this.maximumPacketSize) {
      // The packet with the new alias was too large for the client, so the client does not know the alias.
      if (o.topicAlias !== 0 && o.topic.length > 0 && this.#aliases!.delete(message.topic)) this.#aliasBytes -= message.topic.length;
      return false;
    }
    const { out } = this;
    const at = out.reserve(size);
    writePublish(out.own!, at, o);
    this.#countOut(size);
    if (this.#endpoint.isTapped) this.#tap(out.own!, at, at + size);
    return true;
  }

  /** Sends the bytes of the original packet with other flags and another identifier. */
  #sendPacket(packet: PlainPacket, qos: QoS, retain: boolean, dup: boolean, packetId: number): void {
    const { out } = this;
    const { buf, start, end } = packet;
    const size = end - start;
    const at = out.reserve(size);
    const own = out.own!;
    buf.copy(own, at, start, end);
    own[at] = 0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 0x01 : 0);
    const idAt = at + packet.idAt - start;
    own[idAt] = packetId >> 8;
    own[idAt + 1] = packetId & 0xff;
    this.#countOut(size);
    if (this.#endpoint.isTapped) this.#tap(own, at, at + size);
  }

  #countOut(size: number): void {
    const { slots } = this.#endpoint;
    slots[SLOT.messagesSent]!++;
    slots[SLOT.bytesSent]! += size;
    observe(slots, SIZE_OUT, SIZE_BUCKETS, size);
  }

  /** Gives each of the first topics an alias; a topic with a known alias is sent without its name [MQTT-3.3.2-12]. */
  #useAlias(o: PublishEncoding, topic: string): void {
    this.#aliases ??= new Map();
    const known = this.#aliases.get(topic);
    if (known !== undefined) {
      o.topicAlias = known;
      o.topic = EMPTY;
    } else if (this.#aliases.size < this.topicAliasMaximum && this.#aliasBytes + topic.length <= ALIAS_BYTES_MAX) {
      this.#aliasBytes += topic.length;
      o.topicAlias = this.#aliases.size + 1;
      this.#aliases.set(topic, o.topicAlias);
    }
  }

  /** Writes an acknowledgement in place, because acknowledgements are the most frequent packets. */
  ack(first: Acknowledgement, packetId: number, reasonCode: number): void {
    const size = ackSize(this.version, reasonCode);
    const at = this.out.reserve(size);
    const own = this.out.own!;
    writeAck(own, at, first, this.version, packetId, reasonCode);
    this.#endpoint.slots[SLOT.bytesSent]! += size;
    if (this.#endpoint.isTapped) this.#tap(own, at, at + size);
  }

  sendPubrel(packetId: number): void {
    this.ack(ACK.pubrel, packetId, 0);
  }

  takenOver(): void {
    this.owner.takenOver();
  }

  willPublished(): void {
    this.owner.setWill(null);
  }

  #tap(buf: Buffer, start: number, end: number): void {
    const { context, clientId } = this.owner;
    logPacket(context.logger, this.#endpoint.config.endpoint.port, clientId, 'out', buf, start, end);
  }

  /**
   * Sends a control packet. Sends `shorter`, without the Reason String, when the packet exceeds the client's Maximum Packet Size
   * [MQTT-3.2.2-19] [MQTT-3.14.2-3]; sends nothing when `shorter` exceeds it too.
   */
  writeFitting(bytes: Buffer, shorter: Buffer): void {
    const maximum = this.maximumPacketSize === 0 ? Number.POSITIVE_INFINITY : this.maximumPacketSize;
    if (bytes.length <= maximum) this.write(bytes);
    else if (shorter.length <= maximum) this.write(shorter);
  }

  /** Sends a control packet. */
  write(bytes: Buffer): void {
    this.out.append(bytes, 0, bytes.length);
    this.#endpoint.slots[SLOT.bytesSent]! += bytes.length;
    if (this.#endpoint.isTapped) this.#tap(bytes, 0, bytes.length);
  }
}
