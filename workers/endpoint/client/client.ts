/** One network client: frames its bytes, takes the fast path for plain PUBLISH and PUBACK, and writes the packets of its session. */

import type { OwnRights } from '../../../src/endpoint/endpoint.ts';
import { wallNow } from '../../../src/kernel/clock.ts';
import { commonNameOf } from '../../../src/kernel/logins/certificate-names.ts';
import { CONNECTION_ERRORS, type CounterName, observe, SIZE_BUCKETS, SLOT, sizeBase } from '../../../src/metrics/counters.ts';
import { loopDelay } from '../../../src/metrics/loop-delay.ts';
import { CONNECT_BYTE, describeStranger } from '../../../src/mqtt/connect/first-bytes.ts';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import type { Acknowledgement } from '../../../src/mqtt/encode-publish.ts';
import { ProtocolError } from '../../../src/mqtt/errors.ts';
import type { ConnectPacket, Packet, ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { answerVersion } from '../../../src/mqtt/rare/decode-connect.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import { Message } from '../../shared/messages/message.ts';
import type { TopicEntry } from '../../shared/routing/topic-entry.ts';
import { bytesOfSession } from '../../shared/session/footprint.ts';
import type { PendingWill } from '../../shared/session/pending-will.ts';
import type { Session } from '../../shared/session/session.ts';
import type { Accepted } from '../access/credentials.ts';
import type { Admission, Connection, ConnectionClient } from '../connection/connection.ts';
import type { EndpointContext, WorkerContext } from './context/context.ts';
import { Decisions } from './context/decisions.ts';
import { logPacket } from './context/tap.ts';
import { LastTopic } from './input/last-topic.ts';
import { takeLongPacket } from './input/long-packet.ts';
import { HOLD, PacketReader } from './input/packet-reader.ts';
import { ClientMemory } from './limits/client-memory.ts';
import { TopicAliases } from './limits/topic-aliases.ts';
import { ExchangeSlot } from './online/exchange.ts';
import { noteFault, writeBadConnect, writeReason, writeRefusal } from './online/farewell.ts';
import { ClientIdentity, type ClientState, type Exchanged, type OnlineTerms } from './online/identity.ts';
import { leaveSession } from './online/leave-session.ts';
import type { Reading } from './online/reading.ts';
import { Sender, type SenderOwner } from './output/sender.ts';
import { acknowledgePlain } from './publish/plain-acknowledgement.ts';
import { QueuedInput } from './publish/queued-input.ts';

/** Approximate bytes of a client without the data that it makes the server keep. */
const CLIENT_BYTES = 3000;
/** Largest CONNECT, because the client is still unknown. */
const CONNECT_BYTES_MAX = 512 * 1024;
/** A session worker that has not stored a DISCONNECT after this time hangs; the connection is closed all the same. */
const STORED_DEADLINE_MS = 10_000;
/** The server's limit on the client's Topic Alias Maximum; the server must remember a topic name per alias. */
const ALIASES_OUT_MAX = 256;
const SIZE_IN = sizeBase('in');

/** Callbacks of a client to its endpoint; all clients of the endpoint share them. */
export interface ClientHooks {
  /** handles every packet that is not on the fast path. @throws ProtocolError */
  dispatch(client: Client, packet: Packet): void;
  /** called once, when the connection is gone */
  onClosed(client: Client): void;
}

export class Client extends PacketReader implements ConnectionClient, SenderOwner {
  readonly connection: Connection;
  readonly endpoint: EndpointContext;
  readonly context: WorkerContext;
  readonly sender: Sender;
  readonly decisions: Decisions;
  /** the client's QoS 1 and 2 publishes */
  readonly queued: QueuedInput;
  readonly admission: Admission;
  #state: ClientState = 'new';
  readonly #identity = new ClientIdentity();
  #session: Session | null = null;
  #will: PendingWill | null = null;
  /** value of context.tick at the last input */
  lastSeen: number;
  /** QoS 1/2 messages that may be in flight from the client; goOnline() sets it */
  receiveWindow = 0;
  readonly memory: ClientMemory;
  readonly aliases: TopicAliases;
  /** the first packet was a CONNECT */
  #mayAnswer = false;
  #publishedQueued = false;
  /** The connection has ended; input that came before is still handled. */
  #hasEnded = false;
  #wasReset = false;
  #isGone = false;
  /** retained messages on their way to the client; null when it has asked for none */
  reading: Reading | null = null;
  readonly exchange = new ExchangeSlot();

  readonly #hooks: ClientHooks;
  readonly #topic: LastTopic;

  constructor(connection: Connection, endpoint: EndpointContext, context: WorkerContext, admission: Admission, hooks: ClientHooks) {
    super(Math.min(CONNECT_BYTES_MAX, endpoint.config.endpoint.messageMaxSize));
    this.#hooks = hooks;
    this.connection = connection;
    this.endpoint = endpoint;
    this.context = context;
    this.admission = admission;
    this.sender = new Sender(connection, endpoint, this);
    this.decisions = new Decisions(endpoint, this);
    this.queued = new QueuedInput(this);
    this.memory = new ClientMemory(endpoint, context.memory);
    this.aliases = new TopicAliases(this);
    this.#topic = new LastTopic(endpoint, this.decisions);
    this.lastSeen = context.tick;
  }

  get state(): ClientState {
    return this.#state;
  }

  get identity(): Readonly<ClientIdentity> {
    return this.#identity;
  }

  get clientId(): string {
    return this.#identity.clientId;
  }

  get username(): string | null {
    return this.#identity.username;
  }

  /** null: not online */
  get session(): Session | null {
    return this.#session;
  }

  /** the will, published when the connection ends without a normal DISCONNECT */
  get will(): PendingWill | null {
    return this.#will;
  }

  /** new → connecting. @throws ProtocolError for a second CONNECT */
  beginConnect(packet: ConnectPacket): void {
    if (this.#state !== 'new') throw new ProtocolError(REASON.protocolError, 'CONNECT was sent twice');
    this.#state = 'connecting';
    this.sender.version = packet.protocolVersion;
    this.sender.maximumPacketSize = packet.maximumPacketSize;
    this.#identity.begin(packet);
  }

  /** null: none */
  get rights(): OwnRights | null {
    return this.#identity.rights;
  }

  get certCommonName(): string | null {
    return commonNameOf(this.connection.clientCertificate?.() ?? null);
  }

  /** An authenticator has let the client in, or has confirmed its login. @param exchanged of an enhanced authentication */
  authenticated(login: Accepted, exchanged: Exchanged | null = null): void {
    this.#identity.authenticated(login, exchanged);
    this.decisions.forget();
    this.#topic.forget();
  }

  /** @param keepAlive seconds; 0: no limit */
  name(clientId: string, keepAlive: number): void {
    this.#identity.clientId = clientId;
    this.#identity.keepAlive = keepAlive;
  }

  /** Sets the will; null: none. It goes to the session when the client leaves. */
  setWill(will: PendingWill | null): void {
    this.#will = will;
  }

  /**
   * connecting → online: the one transition. The session's waiting messages go out, behind everything written until now, so that CONNACK
   * must be written before. Input waits until the caller releases it.
   */
  goOnline(session: Session, connect: OnlineTerms): void {
    const { maxSendWindowSize, maxReceiveWindowSize, maxTopicAlias, messageMaxSize } = this.endpoint.config.endpoint;
    this.#identity.connectedAt = wallNow();
    this.sender.sendWindow = Math.min(maxSendWindowSize, connect.receiveMaximum);
    this.receiveWindow = maxReceiveWindowSize;
    this.aliases.maximum = maxTopicAlias;
    this.sender.topicAliasMaximum = Math.min(connect.topicAliasMaximum, ALIASES_OUT_MAX);
    this.maximumIn = messageMaxSize;
    this.#session = session;
    this.#state = 'online';
    this.endpoint.slots[SLOT.sessionsCurrent]!++;
    this.endpoint.slots[SLOT.subscriptionsCurrent]! += session.subscriptions.size;
    session.attach(this.sender);
    this.context.table.subscriptions.presenceChanged(session);
  }

  // ---- input

  onData(buf: Buffer, start: number, end: number): void {
    if (this.#state === 'closed') return;
    loopDelay.touch();
    this.lastSeen = this.context.tick;
    this.endpoint.slots[SLOT.bytesReceived]! += end - start;
    if (this.#state !== 'new') {
      this.read(buf, start, end);
      return;
    }
    const strange = this.readFirst(buf, start, end);
    if (strange === null || this.#state !== 'new') return;
    this.endpoint.strangers.note(`${this.address}: ${describeStranger(strange, 0, strange.length, 'MQTT')}`);
    this.fail(new ProtocolError(REASON.protocolError, 'The first packet is not CONNECT'));
  }

  protected inputEnded(): void {
    this.queued.chunkEnded();
    // A client that sends without reading the answers would fill the memory with them: its input waits.
    if (this.#state === 'online' && this.sender.isSlow) this.hold(HOLD.output);
    if (!this.#publishedQueued) return;
    this.#publishedQueued = false;
    // One slow worker must not fill the memory of the others: stop reading until it has caught up.
    if (this.#state === 'online' && this.context.mesh.isOverloaded) {
      this.context.paused.add(this);
      this.hold(HOLD.peers);
    }
  }

  /** Bytes that the client makes the server keep, without the messages of its session. The session counts the will from its beginning. */
  get heldBytes(): number {
    const named = this.#identity.clientId.length + (this.#identity.username?.length ?? 0);
    const kept = this.#session === null ? (this.#will?.message.size ?? 0) : bytesOfSession(this.#session, this.context.mesh.links.size);
    return CLIENT_BYTES + named + this.inputBytes + this.aliases.bytes + this.sender.heldBytes + kept;
  }

  /** Continues after an overload of peers. */
  onPeersRelieved(): void {
    this.release(HOLD.peers);
  }

  get isOnline(): boolean {
    return this.#state === 'online';
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** True when the connection has ended and all its input is handled. */
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
    // The server has not read the client, so the silence must not count against its Keep Alive.
    this.lastSeen = this.context.tick;
    this.connection.resume();
  }

  get address(): string {
    return this.connection.address;
  }

  get version(): ProtocolVersion {
    return this.sender.version;
  }

  protected decode(buf: Buffer, start: number, end: number): void {
    if (this.#state !== 'new') {
      if (takeLongPacket(this, buf, start, end, (packet) => this.#hooks.dispatch(this, packet))) return;
      this.#hooks.dispatch(this, decodePacket(buf, start, end, this.version));
      return;
    }
    this.#noteVersion(buf, start, end);
    this.#hooks.dispatch(this, decodePacket(buf, start, end, 0));
  }

  protected beginsWith(bytes: Buffer): void {
    if (this.#state === 'new') this.#noteVersion(bytes, 0, bytes.length);
  }

  /** Before CONNECT is decoded, only its version matters, for a refusal. No other first packet gets an answer [MQTT-3.1.0-1]. */
  #noteVersion(buf: Buffer, start: number, end: number): void {
    this.#mayAnswer = buf[start] === CONNECT_BYTE;
    this.sender.version = this.#mayAnswer ? answerVersion(buf, start, end) : 4;
  }

  protected acknowledged(first: number, packetId: number): boolean {
    return acknowledgePlain(this, this.#session!, first, packetId);
  }

  protected plainTopic(buf: Buffer, at: number, size: number, first: number): TopicEntry | null {
    return this.#topic.find(buf, at, size, first, this.version);
  }

  /** Called for each publish that is not plain. The next publish probably has the same topic. */
  mayPublish(entry: TopicEntry, right: number): boolean {
    return this.#topic.mayPublish(entry, right);
  }

  protected publishRun(entry: TopicEntry, buf: Buffer, start: number, end: number, count: number): void {
    const { slots } = this.endpoint;
    slots[SLOT.messagesReceived]! += count;
    observe(slots, SIZE_IN, SIZE_BUCKETS, (end - start) / count, count);
    const version = this.version === 5 ? 5 : 4;
    this.context.router.routeRun(this.endpoint.namespace, entry, {
      buf,
      start,
      end,
      count,
      version,
      other: null,
      from: this.#session!.key,
    });
  }

  /** Publishes a plain QoS 1 or 2 PUBLISH, whose topic plainTopic() has just found. */
  protected publishOnce(entry: TopicEntry, buf: Buffer, at: number, size: number): void {
    const { idAt, payloadStart } = this.#topic;
    const packetId = (buf[idAt]! << 8) | buf[idAt + 1]!;
    const isOnce = (buf[at]! & 6) === 4;
    const packet = { buf, start: at, end: at + size, idAt, payloadStart, version: this.version === 5 ? 5 : 4 } as const;
    const message = Message.ofPacket(entry.topic, packet, isOnce ? 2 : 1, this.#session!.key);
    if (isOnce) this.queued.exactlyOnce(entry, message, packetId, size);
    else this.queued.atLeastOnce(entry, message, packetId, size);
  }

  /** Counts an incoming PUBLISH. */
  countIn(size: number): void {
    const { slots } = this.endpoint;
    slots[SLOT.messagesReceived]!++;
    observe(slots, SIZE_IN, SIZE_BUCKETS, size);
    this.#publishedQueued = true;
  }

  // ---- output

  /** Sends an acknowledgement. */
  ack(first: Acknowledgement, packetId: number, reasonCode: number): void {
    if (this.#state !== 'closed') this.sender.ack(first, packetId, reasonCode);
  }

  /** Sends any other control packet. */
  write(bytes: Buffer): void {
    if (this.#state !== 'closed') this.sender.write(bytes);
  }

  onDrain(): void {
    this.sender.out.onDrain();
    if (this.#state !== 'online') return;
    this.release(HOLD.output);
    this.#session?.fill();
    this.reading?.onWritable();
  }

  // ---- the end

  /** Ends the client after an error in its input: a violation of the standard with its own reason code, anything else with 0x80. */
  fail(error: unknown): void {
    const { reasonCode, reasonString } = noteFault(this, error);
    this.close(reasonCode, reasonString);
  }

  /** Refuses the CONNECT and closes [MQTT-3.1.4-2]. */
  refuse(reasonCode: number, reasonString?: string, counter?: CounterName): void {
    if (this.#state === 'closed') return;
    if (counter !== undefined) this.endpoint.count(counter);
    writeRefusal(this, reasonCode, reasonString);
    this.#finish();
  }

  /** Ends the connection; an online client of MQTT 5 gets the reason. The will is published. */
  close(reasonCode: number, reasonString?: string, serverReference?: string): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'online') writeReason(this, reasonCode, reasonString, serverReference);
    else writeBadConnect(this, this.#mayAnswer, reasonCode);
    this.#finish();
  }

  /**
   * Handles a DISCONNECT from the client, which gets no answer.
   * @param kept fulfilled when its changes of session and will are on disk. The close of the connection confirms these changes to the client,
   * and so waits for the promise. null when nothing is to be stored
   */
  endNormally(kept: Promise<void> | null): void {
    if (this.#state === 'closed') return;
    if (kept === null) {
      this.#finish();
      return;
    }
    this.#leave();
    const late = setTimeout(() => this.#finish(), STORED_DEADLINE_MS);
    void kept.then(() => {
      clearTimeout(late);
      this.#finish();
    });
  }

  #finish(): void {
    this.#leave();
    if (this.#hasEnded) this.inputOver();
    else this.sender.out.end();
  }

  takenOver(): void {
    this.endpoint.count('takenOver');
    this.close(REASON.sessionTakenOver, 'Another connection uses this client identifier');
  }

  onClose(reset: boolean): void {
    this.#hasEnded = true;
    this.#wasReset = reset;
    this.sender.out.discard();
    // The input may hold a DISCONNECT, which cancels the will, and messages before it.
    if (this.hasInput && !this.isClosed) this.handleRest();
    else this.inputOver();
  }

  protected inputOver(): void {
    if (this.#isGone) return;
    if (this.#wasReset && this.#state === 'online') this.endpoint.count(CONNECTION_ERRORS.reset);
    this.#isGone = true;
    this.#leave();
    // Output written after the end of the connection.
    this.sender.out.discard();
    this.#hooks.onClosed(this);
  }

  /** Detaches from the session, exactly once. */
  #leave(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.context.paused.delete(this);
    this.context.held.forget(this.queued);
    this.discardInput();
    this.exchange.end();
    this.reading?.end();
    this.reading = null;
    const session = this.#session;
    this.#session = null;
    if (session === null || session.outlet !== this.sender) return;
    this.endpoint.slots[SLOT.sessionsCurrent]!--;
    this.endpoint.slots[SLOT.subscriptionsCurrent]! -= session.subscriptions.size;
    session.will = this.#will;
    this.#will = null;
    leaveSession(this.context, session);
  }
}
