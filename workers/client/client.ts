/** One network client: frames its bytes, takes the fast path for plain PUBLISH and PUBACK, and writes what its session sends. */

import {
  CONNECTION_ERRORS,
  type CounterName,
  observe,
  RESPONSE_BUCKETS,
  responseBase,
  SIZE_BUCKETS,
  SLOT,
  sizeBase,
} from '../../src/metrics/counters.ts';
import { loopDelay } from '../../src/metrics/loop-delay.ts';
import { decodePacket } from '../../src/mqtt/decode.ts';
import { answerVersion } from '../../src/mqtt/decode-connect.ts';
import { encodeAck, encodeConnack, encodeDisconnect } from '../../src/mqtt/encode.ts';
import { ProtocolError } from '../../src/mqtt/errors.ts';
import { readRemainingLength, remainingLengthSize } from '../../src/mqtt/framer.ts';
import type { Packet, ProtocolVersion, QoS } from '../../src/mqtt/packet.ts';
import { plainPropertiesEnd } from '../../src/mqtt/properties.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import type { Connection, ConnectionClient, Refusal } from '../connection.ts';
import { Message } from '../routing/message.ts';
import type { Run } from '../routing/subscriber.ts';
import type { TopicEntry } from '../routing/topic-entry.ts';
import type { SessionOutlet } from '../session/outlet.ts';
import type { PendingWill, Session } from '../session/session.ts';
import type { EndpointContext, WorkerContext } from './context.ts';
import { Decisions } from './decisions.ts';
import { LastTopic } from './last-topic.ts';
import { HOLD, PacketReader } from './packet-reader.ts';
import { Sender } from './sender.ts';
import { logPacket } from './tap.ts';

/** Topic Alias Maximum told to clients: each may make the server remember so many topic names. */
export const TOPIC_ALIAS_MAXIMUM = 256;
/** Largest CONNECT while the client is unknown. */
const CONNECT_BYTES_MAX = 512 * 1024;
/** Fixed header of CONNECT. */
const CONNECT_BYTE = 0x10;
const RESPONSE_PUBLISH = responseBase('publish');
const SIZE_IN = sizeBase('in');
/** What a client is given by its endpoint; shared by all its clients. */
export interface ClientHooks {
  /** handles every packet that the fast path leaves. @throws ProtocolError */
  dispatch(client: Client, packet: Packet): void;
  /** called once, when the connection is gone */
  onClosed(client: Client): void;
}

/** new → connecting (CONNECT is being checked) → online → closed. */
export type ClientState = 'new' | 'connecting' | 'online' | 'closed';

export class Client extends PacketReader implements ConnectionClient, SessionOutlet {
  readonly connection: Connection;
  readonly endpoint: EndpointContext;
  readonly context: WorkerContext;
  readonly sender: Sender;
  readonly decisions: Decisions;
  readonly refusal: Refusal | null;
  state: ClientState = 'new';
  clientId = '';
  username: string | null = null;
  cleanStart = true;
  session: Session | null = null;
  /** published when the connection ends without a normal DISCONNECT */
  will: PendingWill | null = null;
  /** seconds; 0 = no limit */
  keepAlive = 0;
  connectedAt = 0;
  /** when CONNECT came, by performance.now(); 0 before */
  connectAt = 0;
  /** value of context.tick at the last bytes */
  lastSeen: number;
  sendWindow = 100;
  receiveWindow = 100;
  requestProblemInformation = true;
  aliasesIn: Map<number, string> | null = null;
  /** QoS 1 publishes whose acknowledgement waits for the store */
  pendingAcks = 0;
  /** the first packet was a CONNECT */
  #mayAnswer = false;
  #publishedQueued = false;
  #isGone = false;
  /** QoS 1/2 publishes of this chunk that were acknowledged at once */
  #answeredAtOnce = 0;
  #chunkStartedAt = 0;
  /** what waits for a slow client to read: retained messages */
  #whenWritable: (() => void)[] = [];

  readonly #hooks: ClientHooks;
  readonly #topic: LastTopic;

  constructor(connection: Connection, endpoint: EndpointContext, context: WorkerContext, refusal: Refusal | null, hooks: ClientHooks) {
    super(Math.min(CONNECT_BYTES_MAX, endpoint.config.endpoint.messageMaxSize));
    this.#hooks = hooks;
    this.connection = connection;
    this.endpoint = endpoint;
    this.context = context;
    this.refusal = refusal;
    this.sender = new Sender(connection, endpoint, this);
    this.decisions = new Decisions(endpoint, this);
    this.#topic = new LastTopic(endpoint, this.decisions);
    this.lastSeen = context.tick;
  }

  // ---- input

  onData(buf: Buffer, start: number, end: number): void {
    if (this.state === 'closed') return;
    loopDelay.touch();
    this.lastSeen = this.context.tick;
    this.endpoint.slots[SLOT.bytesReceived]! += end - start;
    this.read(buf, start, end);
  }

  protected inputEnded(): void {
    if (this.#answeredAtOnce > 0) this.#observeAtOnce();
    // A client that sends without reading the answers is read no further: they would fill the memory.
    if (this.state === 'online' && this.sender.isSlow) this.hold(HOLD.output);
    if (!this.#publishedQueued) return;
    this.#publishedQueued = false;
    // One slow worker must not fill the memory of the others: stop reading until it has caught up.
    if (this.state === 'online' && this.context.mesh.isOverloaded) {
      this.context.paused.add(this);
      this.hold(HOLD.peers);
    }
  }

  /** The peers have caught up. */
  onPeersRelieved(): void {
    this.release(HOLD.peers);
  }

  protected get isOnline(): boolean {
    return this.state === 'online';
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  /** True when its connection has ended too. */
  get isGone(): boolean {
    return this.#isGone;
  }

  protected get isTapped(): boolean {
    return this.endpoint.isTapped;
  }

  protected tapped(buf: Buffer, start: number, end: number): void {
    const { context, endpoint, clientId } = this;
    logPacket(context.logger, endpoint.config.endpoint.port, clientId, 'in', buf, start, end);
  }

  protected pauseReading(): void {
    this.connection.pause();
  }

  protected resumeReading(): void {
    this.connection.resume();
  }

  get address(): string {
    return this.connection.address;
  }

  get version(): ProtocolVersion {
    return this.sender.version;
  }

  set version(version: ProtocolVersion) {
    this.sender.version = version;
  }

  protected decode(buf: Buffer, start: number, end: number): void {
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
  protected acknowledged(buf: Buffer, at: number): boolean {
    const packetId = (buf[at + 2]! << 8) | buf[at + 3]!;
    return packetId !== 0 && this.session!.acknowledge(packetId, 1);
  }

  protected plainTopic(buf: Buffer, at: number, size: number, first: number): TopicEntry | null {
    return this.#topic.find(buf, at, size, first, this.version);
  }

  /** Asked for each publish that is not plain; the next one is likely to the same topic. */
  mayPublish(entry: TopicEntry): boolean {
    return this.#topic.mayPublish(entry);
  }

  protected publishRun(entry: TopicEntry, buf: Buffer, start: number, end: number, count: number): void {
    const { slots } = this.endpoint;
    slots[SLOT.messagesReceived]! += count;
    observe(slots, SIZE_IN, SIZE_BUCKETS, (end - start) / count, count);
    const version = this.version === 5 ? 5 : 4;
    this.context.router.routeRun(this.endpoint.namespace, entry, { buf, start, end, count, version, other: null, from: this.session!.key });
  }

  /** A plain QoS 1 or 2 PUBLISH. */
  protected publishOnce(entry: TopicEntry, buf: Buffer, at: number, size: number): void {
    const end = at + size;
    const body = buf[at + 1]! < 0x80 ? at + 2 : at + 1 + remainingLengthSize(readRemainingLength(buf, at + 1, end));
    const idAt = body + 2 + entry.topic.length;
    const packetId = (buf[idAt]! << 8) | buf[idAt + 1]!;
    const version = this.version === 5 ? 5 : 4;
    const payloadStart = version === 5 ? plainPropertiesEnd(buf, idAt + 2, end) : idAt + 2;
    const packet = { buf, start: at, end, idAt, payloadStart, version } as const;
    const isOnce = (buf[at]! & 6) === 4;
    const message = Message.ofPacket(entry.topic, packet, isOnce ? 2 : 1, this.session!.key);
    if (isOnce) this.publishExactlyOnce(entry, message, packetId, size);
    else this.publishQueued(entry, message, packetId, size);
  }

  #checkReceiveMaximum(): void {
    if (this.version !== 5 || this.pendingAcks + (this.session?.received?.size ?? 0) < this.receiveWindow) return;
    throw new ProtocolError(REASON.receiveMaximumExceeded, `More than ${this.receiveWindow} QoS 1 and 2 messages are in flight`);
  }

  /** Routes a QoS 2 message, unless it is a repeat before PUBREL, and answers PUBREC when it is routed or stored [MQTT-4.3.3-10]. */
  publishExactlyOnce(entry: TopicEntry, message: Message, packetId: number, size: number): void {
    const session = this.session!;
    if (session.received?.has(packetId)) {
      this.write(encodeAck('pubrec', this.version, packetId, 0));
      return;
    }
    this.#checkReceiveMaximum();
    this.countIn(size);
    session.receive(packetId);
    this.#startClock();
    const { hasReceivers, serial } = this.context.router.route(this.endpoint.namespace, entry, message);
    const reasonCode = hasReceivers || message.retain || this.version !== 5 ? 0 : REASON.noMatchingSubscribers;
    const acknowledge = () => this.write(encodeAck('pubrec', this.version, packetId, reasonCode));
    if (serial > 0) this.whenStored(serial, acknowledge);
    else {
      this.#answeredAtOnce++;
      acknowledge();
    }
  }

  /** Routes a QoS 1 message and acknowledges it when it is routed, or stored where that is asked for. */
  publishQueued(entry: TopicEntry, message: Message, packetId: number, size: number): void {
    this.#checkReceiveMaximum();
    this.countIn(size);
    this.#startClock();
    const { hasReceivers, serial } = this.context.router.route(this.endpoint.namespace, entry, message);
    const reasonCode = hasReceivers || message.retain || this.version !== 5 ? 0 : REASON.noMatchingSubscribers;
    if (serial === 0) {
      this.#answeredAtOnce++;
      this.#ack(packetId, reasonCode);
    } else {
      this.pendingAcks++;
      this.whenStored(serial, () => {
        this.pendingAcks--;
        this.#ack(packetId, reasonCode);
      });
    }
  }

  /** Publishes acknowledged in the chunk that brought them are timed together: a clock costs as much as a route. */
  #startClock(): void {
    if (this.#answeredAtOnce === 0) this.#chunkStartedAt = performance.now();
  }

  #observeAtOnce(): void {
    const seconds = (performance.now() - this.#chunkStartedAt) / 1000;
    observe(this.endpoint.slots, RESPONSE_PUBLISH, RESPONSE_BUCKETS, seconds, this.#answeredAtOnce);
    this.#answeredAtOnce = 0;
  }

  #ack(packetId: number, reasonCode: number): void {
    if (reasonCode !== 0) {
      this.write(encodeAck('puback', this.version, packetId, reasonCode));
      return;
    }
    this.sender.puback(packetId);
  }

  /** Runs `then` when the session worker has stored up to `serial`; if it dies before, the connection ends and the client repeats. */
  whenStored(serial: number, then: () => void): void {
    const startedAt = performance.now();
    this.context.barrier.wait(serial, (isStored) => {
      observe(this.endpoint.slots, RESPONSE_PUBLISH, RESPONSE_BUCKETS, (performance.now() - startedAt) / 1000);
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

  /** From now on packets of the endpoint's size are taken. */
  openInput(): void {
    this.maximumIn = this.endpoint.config.endpoint.messageMaxSize;
  }

  // ---- output

  get isSlow(): boolean {
    return this.sender.isSlow;
  }

  get takesRuns(): boolean {
    return this.sender.takesRuns;
  }

  sendRun(run: Run): void {
    this.sender.sendRun(run);
  }

  sendPublish(message: Message, qos: QoS, retain: boolean, dup: boolean, packetId: number, identifiers: readonly number[]): boolean {
    return this.sender.sendPublish(message, qos, retain, dup, packetId, identifiers);
  }

  sendPubrel(packetId: number): void {
    this.write(encodeAck('pubrel', this.version, packetId, 0));
  }

  /** Sends a control packet. */
  write(bytes: Buffer): void {
    if (this.state !== 'closed') this.sender.write(bytes);
  }

  onDrain(): void {
    this.sender.out.onDrain();
    if (this.state !== 'online') return;
    this.release(HOLD.output);
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
    const refusal = { sessionPresent: false, reasonCode };
    const properties = reasonString === undefined || !this.requestProblemInformation ? {} : { reasonString };
    this.sender.writeFitting(encodeConnack(this.version, { ...refusal, properties }), encodeConnack(this.version, refusal));
    this.#finish();
  }

  /** Ends the connection; a client that is online and speaks MQTT 5 is told why. The will is published. */
  close(reasonCode: number, reasonString?: string, serverReference?: string): void {
    if (this.state === 'closed') return;
    if (this.state === 'online') {
      if (this.version === 5) {
        const options = reasonString === undefined || !this.requestProblemInformation ? {} : { reasonString };
        const bytes = encodeDisconnect(reasonCode, serverReference === undefined ? options : { ...options, serverReference });
        this.sender.writeFitting(bytes, encodeDisconnect(reasonCode, {}));
      }
    } else if (
      this.#mayAnswer &&
      (this.version === 5 || reasonCode === REASON.unsupportedProtocolVersion || reasonCode === REASON.clientIdentifierNotValid)
    ) {
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
    this.sender.out.end();
  }

  takenOver(): void {
    this.endpoint.count('takenOver');
    this.close(REASON.sessionTakenOver, 'Another connection uses this client identifier');
  }

  onClose(reset: boolean): void {
    if (reset && this.state === 'online') this.endpoint.count(CONNECTION_ERRORS.reset);
    this.#isGone = true;
    this.#leave();
    this.sender.out.discard();
    this.#hooks.onClosed(this);
  }

  /** Parts with the session: exactly once. */
  #leave(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.context.paused.delete(this);
    this.discardInput();
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
