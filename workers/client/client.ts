/** One network client: frames its bytes, takes the fast path for plain PUBLISH and PUBACK, and writes what its session sends. */

import { CONNECTION_ERRORS, type CounterName, observe, SIZE_BUCKETS, SLOT, sizeBase } from '../../src/metrics/counters.ts';
import { decodePacket } from '../../src/mqtt/decode.ts';
import { answerVersion } from '../../src/mqtt/decode-connect.ts';
import { encodeAck, encodeConnack, encodeDisconnect } from '../../src/mqtt/encode.ts';
import { type PublishEncoding, publishSize, writePublish } from '../../src/mqtt/encode-publish.ts';
import { ProtocolError } from '../../src/mqtt/errors.ts';
import { readRemainingLength, remainingLengthSize } from '../../src/mqtt/framer.ts';
import type { Packet, ProtocolVersion, QoS } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import { fromLatin1, isValidTopicBytes } from '../../src/mqtt/topic.ts';
import { Authoriser } from '../access/authoriser.ts';
import type { Connection, ConnectionClient, Refusal } from '../connection.ts';
import { EMPTY, Message } from '../routing/message.ts';
import { runFor } from '../routing/router.ts';
import type { Run } from '../routing/subscriber.ts';
import type { TopicEntry } from '../routing/topic-entry.ts';
import type { SessionOutlet } from '../session/outlet.ts';
import type { PendingWill, Session } from '../session/session.ts';
import type { EndpointContext, WorkerContext } from './context.ts';
import { PartialPacket, packetSize } from './input.ts';
import { Output } from './output.ts';

/** Bytes that may wait for a client that does not read, before QoS 0 to it is dropped. */
const SLOW_BYTES = 1024 * 1024;
/** Topic Alias Maximum told to clients: each may make the server remember so many topic names. */
export const TOPIC_ALIAS_MAXIMUM = 256;
/** Largest CONNECT while the client is unknown. */
const CONNECT_BYTES_MAX = 512 * 1024;
/** Fixed header of CONNECT. */
const CONNECT_BYTE = 0x10;
const SIZE_IN = sizeBase('in');
const SIZE_OUT = sizeBase('out');
/** ACL decisions remembered per client; bounded, because topics are the client's choice. */
const DECISIONS_MAX = 256;

/** Reused for every packet: the encoder reads it and keeps nothing. */
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

/** What a client is given by its endpoint; shared by all its clients. */
export interface ClientHooks {
  /** handles every packet that the fast path leaves. @throws ProtocolError */
  dispatch(client: Client, packet: Packet): void;
  /** called once, when the connection is gone */
  onClosed(client: Client): void;
}

/** new → connecting (CONNECT is being checked) → online → closed. */
export type ClientState = 'new' | 'connecting' | 'online' | 'closed';

export class Client implements ConnectionClient, SessionOutlet {
  readonly connection: Connection;
  readonly endpoint: EndpointContext;
  readonly context: WorkerContext;
  readonly out: Output;
  readonly refusal: Refusal | null;
  state: ClientState = 'new';
  version: ProtocolVersion = 4;
  clientId = '';
  username: string | null = null;
  cleanStart = true;
  session: Session | null = null;
  /** published when the connection ends without a normal DISCONNECT */
  will: PendingWill | null = null;
  /** seconds; 0 = no limit */
  keepAlive = 0;
  connectedAt = 0;
  /** value of context.tick at the last bytes */
  lastSeen: number;
  sendWindow = 100;
  receiveWindow = 100;
  /** the client's Maximum Packet Size; 0 = none */
  maximumPacketSize = 0;
  requestProblemInformation = true;
  /** the client's Topic Alias Maximum */
  aliasesOutMax = 0;
  #aliasesOut: Map<string, number> | null = null;
  aliasesIn: Map<number, string> | null = null;
  /** QoS 1/2 publishes whose acknowledgement waits for the store, and SUBACKs under way */
  pendingAcks = 0;
  authoriser: Authoriser | null = null;
  #authoriserOf = 0;
  decisionsVersion = 0;
  #decisions: Map<string, boolean> | null = null;
  #partial: PartialPacket | null = null;
  /** input that waits while isHeld */
  #held: Buffer[] = [];
  #isHeld = false;
  /** the first packet was a CONNECT */
  #mayAnswer = false;
  #maximumIn: number;
  #lastEntry: TopicEntry | null = null;
  #lastTopic: Buffer = EMPTY;
  #lastIsAllowed = false;
  #publishedQueued = false;
  /** what waits for a slow client to read: retained messages */
  #whenWritable: (() => void)[] = [];

  readonly #hooks: ClientHooks;

  constructor(connection: Connection, endpoint: EndpointContext, context: WorkerContext, refusal: Refusal | null, hooks: ClientHooks) {
    this.#hooks = hooks;
    this.connection = connection;
    this.endpoint = endpoint;
    this.context = context;
    this.refusal = refusal;
    this.out = new Output(connection);
    this.lastSeen = context.tick;
    this.#maximumIn = Math.min(CONNECT_BYTES_MAX, endpoint.config.endpoint.messageMaxSize);
  }

  // ---- input

  onData(chunk: Buffer): void {
    if (this.state === 'closed') return;
    this.lastSeen = this.context.tick;
    this.endpoint.slots[SLOT.bytesReceived]! += chunk.length;
    if (this.#isHeld) this.#held.push(chunk);
    else this.#input(chunk);
  }

  #input(chunk: Buffer): void {
    try {
      let at = 0;
      while (this.#partial !== null && at < chunk.length) {
        at = this.#partial.take(chunk, at, chunk.length, this.#maximumIn);
        const { packet } = this.#partial;
        if (packet === null) return;
        this.#partial = null;
        this.#process(packet, 0, packet.length);
      }
      if (this.#isHeld) this.#held.push(chunk.subarray(at));
      else if (at < chunk.length && !this.isClosed) this.#process(chunk, at, chunk.length);
    } catch (error) {
      this.fail(error);
    }
    if (this.#publishedQueued) {
      this.#publishedQueued = false;
      // One slow worker must not fill the memory of the others: stop reading until it has caught up.
      if (this.context.mesh.isOverloaded && this.state === 'online') {
        this.context.paused.add(this);
        this.hold();
      }
    }
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  /** The one framer: whole packets of buf[at, end) are handled, a tail is kept. */
  #process(buf: Buffer, at: number, end: number): void {
    const maximum = this.#maximumIn;
    let runEntry: TopicEntry | null = null;
    let runStart = 0;
    let runCount = 0;
    while (at < end) {
      let size = -1;
      if (end - at >= 2) {
        const low = buf[at + 1]!;
        if (low < 0x80 && low + 2 <= maximum) size = low + 2;
        else size = packetSize(buf, at, end, maximum);
      }
      if (size < 0 || at + size > end) break;
      const first = buf[at]!;
      if (this.state === 'online') {
        if ((first & 0xf9) === 0x30 && (first & 6) < 4) {
          const entry = this.#plainTopic(buf, at, size, first);
          if (entry !== null && first === 0x30) {
            if (runEntry !== entry) {
              if (runEntry !== null) this.#publishRun(runEntry, buf, runStart, at, runCount);
              runEntry = entry;
              runStart = at;
              runCount = 0;
            }
            runCount++;
            at += size;
            continue;
          }
          if (runEntry !== null) {
            this.#publishRun(runEntry, buf, runStart, at, runCount);
            runEntry = null;
          }
          if (entry !== null) this.#publishOnce(entry, buf, at, size);
          else this.#decode(buf, at, at + size);
          at += size;
          if (this.#stopped(buf, at, end)) return;
          continue;
        }
        if (first === 0x40 && size === 4 && this.#acknowledged(buf, at)) {
          at += size;
          continue;
        }
      }
      if (runEntry !== null) {
        this.#publishRun(runEntry, buf, runStart, at, runCount);
        runEntry = null;
      }
      this.#decode(buf, at, at + size);
      at += size;
      if (this.#stopped(buf, at, end)) return;
    }
    if (runEntry !== null) this.#publishRun(runEntry, buf, runStart, at, runCount);
    if (at < end && !this.isClosed) this.#partial = new PartialPacket(buf, at, end, maximum);
  }

  /** True when the rest of the input must wait, or nobody wants it any more. */
  #stopped(buf: Buffer, at: number, end: number): boolean {
    if (this.isClosed) return true;
    if (!this.#isHeld) return false;
    if (at < end) this.#held.unshift(buf.subarray(at, end));
    return true;
  }

  #decode(buf: Buffer, start: number, end: number): void {
    if (this.state !== 'new') {
      this.#hooks.dispatch(this, decodePacket(buf, start, end, this.version));
      return;
    }
    // Until CONNECT is understood it tells only in which version to refuse it; nothing else is answered [MQTT-3.1.0-1].
    this.#mayAnswer = buf[start] === CONNECT_BYTE;
    this.version = this.#mayAnswer ? answerVersion(buf, start, end) : 4;
    this.#hooks.dispatch(this, decodePacket(buf, start, end, 0));
  }

  /** PUBACK without reason code; false: let the slow path handle it. */
  #acknowledged(buf: Buffer, at: number): boolean {
    const packetId = (buf[at + 2]! << 8) | buf[at + 3]!;
    return packetId !== 0 && this.session!.acknowledge(packetId, 1);
  }

  /** The topic of a PUBLISH that has nothing special, when this client may publish to it; null: the slow path decides. */
  #plainTopic(buf: Buffer, at: number, size: number, first: number): TopicEntry | null {
    const end = at + size;
    let body = at + 2;
    if (buf[at + 1]! >= 0x80) body = at + 1 + remainingLengthSize(readRemainingLength(buf, at + 1, end));
    const start = body + 2;
    if (start > end) return null;
    const length = (buf[body]! << 8) | buf[body + 1]!;
    const topicEnd = start + length;
    let rest = topicEnd;
    if (first !== 0x30) {
      if (rest + 2 > end || (buf[rest] === 0 && buf[rest + 1] === 0)) return null;
      rest += 2;
    }
    if (length === 0 || rest > end) return null;
    if (this.version === 5 && (rest >= end || buf[rest] !== 0)) return null;
    let entry = this.#lastEntry;
    if (entry === null || !sameTopic(this.#lastTopic, buf, start, length) || !this.endpoint.namespace.isCurrent(entry)) {
      entry = this.#lookUp(buf, start, topicEnd);
      if (entry === null) return null;
    }
    return this.#mayUseLast() ? entry : null;
  }

  #lookUp(buf: Buffer, start: number, end: number): TopicEntry | null {
    const topic = buf.latin1Slice(start, end);
    const { namespace } = this.endpoint;
    let entry = namespace.known(topic);
    if (entry === undefined) {
      if (!isValidTopicBytes(buf, start, end)) return null;
      this.endpoint.slots[SLOT.topicsPublished]!++;
      entry = namespace.entry(topic);
    }
    this.remember(entry);
    return entry;
  }

  /** The last entry and whether this client may publish to it: the next publish is likely to the same topic. */
  remember(entry: TopicEntry): void {
    if (this.#lastEntry !== entry) this.#lastTopic = Buffer.from(entry.topic, 'latin1');
    this.#lastEntry = entry;
    this.decisionsVersion = 0;
  }

  #mayUseLast(): boolean {
    if (this.decisionsVersion !== this.endpoint.version) {
      this.#lastIsAllowed = this.mayPublish(this.#lastEntry!.topic);
      this.decisionsVersion = this.endpoint.version;
    }
    return this.#lastIsAllowed;
  }

  #decisionsOf = 0;

  /** ACL decision for a topic (latin1 form), remembered until the rules change. `$SYS` is the server's own. */
  mayPublish(topic: string): boolean {
    if (topic.startsWith('$SYS/')) return false;
    const { config, version } = this.endpoint;
    if (!config.endpoint.enableAcl) return true;
    if (this.#decisionsOf !== version || this.#decisions === null || this.#decisions.size >= DECISIONS_MAX) {
      this.#decisions = new Map();
      this.#decisionsOf = version;
    }
    let isAllowed = this.#decisions.get(topic);
    if (isAllowed === undefined) {
      isAllowed = this.authoriserNow().mayPublish(fromLatin1(topic));
      this.#decisions.set(topic, isAllowed);
    }
    return isAllowed;
  }

  /** The rules as they are now: made anew when the endpoint's configuration changed (live, SPEC.md section 2). */
  authoriserNow(): Authoriser {
    const { config, version } = this.endpoint;
    if (this.authoriser === null || this.#authoriserOf !== version) {
      this.authoriser = new Authoriser(config.acl, { clientId: this.clientId, username: this.username, ip: this.connection.address });
      this.#authoriserOf = version;
    }
    return this.authoriser;
  }

  #publishRun(entry: TopicEntry, buf: Buffer, start: number, end: number, count: number): void {
    const { slots } = this.endpoint;
    slots[SLOT.messagesReceived]! += count;
    observe(slots, SIZE_IN, SIZE_BUCKETS, (end - start) / count, count);
    const version = this.version === 5 ? 5 : 4;
    this.context.router.routeRun(this.endpoint.namespace, entry, { buf, start, end, count, version, other: null, from: this.session!.key });
  }

  /** A plain QoS 1 PUBLISH. */
  #publishOnce(entry: TopicEntry, buf: Buffer, at: number, size: number): void {
    const end = at + size;
    const body = buf[at + 1]! < 0x80 ? at + 2 : at + 1 + remainingLengthSize(readRemainingLength(buf, at + 1, end));
    const idAt = body + 2 + entry.topic.length;
    const payload = buf.subarray(this.version === 5 ? idAt + 3 : idAt + 2, end);
    const message = new Message(entry.topic, payload, 1, false, EMPTY, 0, this.session!.key);
    this.publishQueued(entry, message, (buf[idAt]! << 8) | buf[idAt + 1]!, size);
  }

  /** Routes a QoS 1 message and acknowledges it when it is routed, or stored where that is asked for. */
  publishQueued(entry: TopicEntry, message: Message, packetId: number, size: number): void {
    if (this.version === 5 && this.pendingAcks + (this.session?.received?.size ?? 0) >= this.receiveWindow) {
      throw new ProtocolError(REASON.receiveMaximumExceeded, `More than ${this.receiveWindow} QoS 1 and 2 messages are in flight`);
    }
    this.countIn(size);
    const { hasReceivers, serial } = this.context.router.route(this.endpoint.namespace, entry, message);
    const reasonCode = hasReceivers || message.retain || this.version !== 5 ? 0 : REASON.noMatchingSubscribers;
    if (serial === 0) this.#ack(packetId, reasonCode);
    else this.whenStored(serial, () => this.#ack(packetId, reasonCode));
  }

  #ack(packetId: number, reasonCode: number): void {
    if (reasonCode !== 0) {
      this.write(encodeAck('puback', this.version, packetId, reasonCode));
      return;
    }
    const at = this.out.reserve(4);
    const own = this.out.own!;
    own[at] = 0x40;
    own[at + 1] = 2;
    own[at + 2] = packetId >> 8;
    own[at + 3] = packetId & 0xff;
    this.endpoint.slots[SLOT.bytesSent]! += 4;
  }

  /** Runs `then` when the session worker has stored up to `serial`; if it dies before, the connection ends and the client repeats. */
  whenStored(serial: number, then: () => void): void {
    this.pendingAcks++;
    this.context.barrier.wait(serial, (isStored) => {
      this.pendingAcks--;
      if (this.state !== 'online') return;
      if (isStored) then();
      else this.close(REASON.unspecifiedError, 'The message could not be stored');
    });
  }

  /** Counts a PUBLISH that came in. */
  countIn(size: number): void {
    const { slots } = this.endpoint;
    slots[SLOT.messagesReceived]!++;
    observe(slots, SIZE_IN, SIZE_BUCKETS, size);
    this.#publishedQueued = true;
  }

  /** Stops reading and handling; what comes meanwhile waits. */
  hold(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    this.connection.pause();
  }

  /** Goes on after hold(). */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    const held = this.#held;
    this.#held = [];
    for (let i = 0; i < held.length; i++) {
      if (this.isClosed) return;
      if (this.#isHeld) {
        this.#held.push(...held.slice(i));
        return;
      }
      this.#input(held[i]!);
    }
    if (!this.#isHeld) this.connection.resume();
  }

  /** From now on packets of the endpoint's size are taken. */
  openInput(): void {
    this.#maximumIn = this.endpoint.config.endpoint.messageMaxSize;
  }

  // ---- output

  get isSlow(): boolean {
    const { out } = this;
    if (out.pendingBytes <= SLOW_BYTES) return false;
    // Much may wait only because this loop iteration has not ended yet: let the kernel say whether the client reads.
    if (!out.isBlocked) out.flush();
    return out.isBlocked && out.pendingBytes > SLOW_BYTES;
  }

  get takesRuns(): boolean {
    return this.aliasesOutMax === 0 && this.maximumPacketSize === 0;
  }

  sendRun(run: Run): void {
    const { buf, start, end } = runFor(run, this.version === 5 ? 5 : 4);
    this.out.append(buf, start, end);
    const { slots } = this.endpoint;
    slots[SLOT.messagesSent]! += run.count;
    slots[SLOT.bytesSent]! += end - start;
    observe(slots, SIZE_OUT, SIZE_BUCKETS, (end - start) / run.count, run.count);
  }

  sendPublish(message: Message, qos: QoS, retain: boolean, dup: boolean, packetId: number, identifiers: readonly number[]): boolean {
    const { version, out } = this;
    const o = encoding;
    o.version = version;
    o.qos = qos;
    o.retain = retain;
    o.dup = dup;
    o.packetId = packetId;
    o.payload = message.payload;
    o.topic = message.topicBytes;
    o.topicAlias = 0;
    if (version === 5) {
      o.messageExpiryInterval = message.expiresAt === 0 ? -1 : message.remainingSeconds(Date.now());
      o.forward = message.forward;
      o.subscriptionIdentifiers = identifiers;
      // A repeat keeps its topic: the alias of the old connection means nothing here.
      if (this.aliasesOutMax > 0) this.#useAlias(o, message.topic);
    }
    const size = publishSize(o);
    if (this.maximumPacketSize !== 0 && size > this.maximumPacketSize) {
      if (o.topicAlias !== 0 && o.topic.length > 0) this.#aliasesOut!.delete(message.topic);
      return false;
    }
    const at = out.reserve(size);
    writePublish(out.own!, at, o);
    const { slots } = this.endpoint;
    slots[SLOT.messagesSent]!++;
    slots[SLOT.bytesSent]! += size;
    observe(slots, SIZE_OUT, SIZE_BUCKETS, size);
    return true;
  }

  /** The first topics get an alias each; a topic that has one goes without its name [MQTT-3.3.2-12]. */
  #useAlias(o: PublishEncoding, topic: string): void {
    this.#aliasesOut ??= new Map();
    const known = this.#aliasesOut.get(topic);
    if (known !== undefined) {
      o.topicAlias = known;
      o.topic = EMPTY;
    } else if (this.#aliasesOut.size < this.aliasesOutMax) {
      o.topicAlias = this.#aliasesOut.size + 1;
      this.#aliasesOut.set(topic, o.topicAlias);
    }
  }

  sendPubrel(packetId: number): void {
    this.write(encodeAck('pubrel', this.version, packetId, 0));
  }

  /** Sends a control packet. */
  write(bytes: Buffer): void {
    if (this.state === 'closed') return;
    this.out.append(bytes, 0, bytes.length);
    this.endpoint.slots[SLOT.bytesSent]! += bytes.length;
  }

  onDrain(): void {
    this.out.onDrain();
    if (this.state !== 'online') return;
    this.session?.fill();
    const waiting = this.#whenWritable;
    if (waiting.length === 0) return;
    this.#whenWritable = [];
    for (const go of waiting) go();
  }

  /** Calls `go` when the client has read what it was sent; never, if it ends before. */
  whenWritable(go: () => void): void {
    this.#whenWritable.push(go);
  }

  // ---- the end

  /** Something went wrong with this client's input: a violation of the standard ends it with its reason, anything else with 0x80. */
  fail(error: unknown): void {
    if (error instanceof ProtocolError) {
      this.endpoint.count('errorProtocol');
      this.context.logger.debug(`Endpoint ${this.endpoint.config.endpoint.port}: ${error.message}`, {
        clientId: this.clientId,
        address: this.connection.address,
        reasonCode: error.reasonCode,
      });
      this.close(error.reasonCode, error.message);
      return;
    }
    this.context.logger.error(`Endpoint ${this.endpoint.config.endpoint.port}: a packet could not be handled`, {
      clientId: this.clientId,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    this.close(REASON.unspecifiedError);
  }

  /** Refuses the CONNECT and closes [MQTT-3.1.4-2]. */
  refuse(reasonCode: number, reasonString?: string, counter?: CounterName): void {
    if (this.state === 'closed') return;
    if (counter !== undefined) this.endpoint.count(counter);
    const properties = reasonString === undefined || !this.requestProblemInformation ? {} : { reasonString };
    this.write(encodeConnack(this.version, { sessionPresent: false, reasonCode, properties }));
    this.#finish();
  }

  /** Ends the connection; a client that is online and speaks MQTT 5 is told why. The will is published. */
  close(reasonCode: number, reasonString?: string, serverReference?: string): void {
    if (this.state === 'closed') return;
    if (this.state === 'online') {
      if (this.version === 5) {
        const options = reasonString === undefined || !this.requestProblemInformation ? {} : { reasonString };
        let bytes = encodeDisconnect(reasonCode, serverReference === undefined ? options : { ...options, serverReference });
        // [MQTT-3.14.2-3]: no Reason String that would make the packet too large for the client.
        if (this.maximumPacketSize !== 0 && bytes.length > this.maximumPacketSize) bytes = encodeDisconnect(reasonCode, {});
        this.write(bytes);
      }
    } else if (this.#mayAnswer && (this.version === 5 || reasonCode === REASON.unsupportedProtocolVersion || reasonCode === REASON.clientIdentifierNotValid)) {
      // A broken CONNECT may be answered; version 3 clients are answered only where the standard has a code for it.
      this.endpoint.count(CONNECTION_ERRORS.bad_connect);
      this.write(encodeConnack(this.version, { sessionPresent: false, reasonCode }));
    } else this.endpoint.count(CONNECTION_ERRORS.bad_connect);
    this.#finish();
  }

  /** DISCONNECT from the client: no answer. */
  endNormally(): void {
    if (this.state !== 'closed') this.#finish();
  }

  #finish(): void {
    this.#leave();
    this.out.end();
  }

  takenOver(): void {
    this.endpoint.count('takenOver');
    this.close(REASON.sessionTakenOver, 'Another connection uses this client identifier');
  }

  onClose(reset: boolean): void {
    if (reset && this.state === 'online') this.endpoint.count(CONNECTION_ERRORS.reset);
    this.#leave();
    this.out.discard();
    this.#hooks.onClosed(this);
  }

  /** Parts with the session: exactly once. */
  #leave(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.context.paused.delete(this);
    this.#held = [];
    this.#partial = null;
    this.#lastEntry = null;
    this.#whenWritable = [];
    const { session, context } = this;
    this.session = null;
    if (session === null || session.outlet !== this) return;
    this.endpoint.slots[SLOT.sessionsCurrent]!--;
    this.endpoint.slots[SLOT.subscriptionsCurrent]! -= session.subscriptions.size;
    session.detach();
    session.will = this.will;
    this.will = null;
    if (context.table.afterDetach(session) === 'ended') context.directory.ended(session);
    else context.directory.parked(session);
  }
}

function sameTopic(topic: Buffer, buf: Buffer, start: number, length: number): boolean {
  if (topic.length !== length) return false;
  // Topics of one client mostly differ at the end.
  for (let i = length - 1; i >= 0; i--) if (topic[i] !== buf[start + i]) return false;
  return true;
}
