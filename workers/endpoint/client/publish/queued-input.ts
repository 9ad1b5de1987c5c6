/**
 * The QoS 1 and 2 publishes of one client: routed, then acknowledged once they are routed, or stored when a session or RETAIN needs that.
 */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import { observe, RESPONSE_BUCKETS, responseBase } from '../../../../src/metrics/counters.ts';
import { ACK, type Acknowledgement } from '../../../../src/mqtt/encode-publish.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { ProtocolVersion } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Message } from '../../../shared/messages/message.ts';
import type { Routed } from '../../../shared/routing/router.ts';
import type { TopicEntry } from '../../../shared/routing/topic-entry.ts';
import type { Session } from '../../../shared/session/session.ts';
import type { StoreOutcome } from '../../durable/durable-barrier.ts';
import type { EndpointContext, WorkerContext } from '../context/context.ts';
import type { HeldPublisher } from '../context/held-publishes.ts';
import { type ClientMemory, NO_MEMORY } from '../limits/client-memory.ts';
import { Answers } from './answers.ts';

const RESPONSE_PUBLISH = responseBase('publish');
/** A message of this size or more, bytes, is refused while memory is short. */
const LARGE_BYTES = 16 * 1024;

/** The part of a client that its publishes use. */
export interface QueuedPublisher {
  readonly endpoint: EndpointContext;
  readonly context: WorkerContext;
  readonly version: ProtocolVersion;
  readonly session: Session | null;
  readonly isOnline: boolean;
  readonly memory: ClientMemory;
  /** QoS 1 and 2 publishes that may be unacknowledged; MQTT 5 clients learn the number from CONNACK */
  readonly receiveWindow: number;
  /** Counts an incoming PUBLISH of `size` bytes. */
  countIn(size: number): void;
  ack(first: Acknowledgement, packetId: number, reasonCode: number): void;
  close(reasonCode: number, reasonString: string): void;
}

const CANNOT_STORE = 'The message cannot be stored now';

export class QueuedInput implements HeldPublisher {
  readonly #client: QueuedPublisher;
  /** QoS 1 publishes whose acknowledgement waits for the store */
  #pendingAcks = 0;
  /** QoS 2 publishes of this connection without a PUBCOMP; a new connection starts with none (MQTT 5 section 4.9) */
  #uncompleted = 0;
  /** publishes of this chunk that were acknowledged immediately */
  #answeredAtOnce = 0;
  #chunkStartedAt = 0;
  readonly #answers = new Answers();

  constructor(client: QueuedPublisher) {
    this.#client = client;
  }

  /**
   * Routes a QoS 1 message of a packet of `size` bytes and acknowledges it.
   * @throws ProtocolError over the Receive Maximum [MQTT-3.3.4-9]
   */
  atLeastOnce(entry: TopicEntry, message: Message, packetId: number, size: number): void {
    const client = this.#client;
    if (size >= LARGE_BYTES && client.memory.isShort) {
      this.#refuseLarge(ACK.puback, packetId, size);
      return;
    }
    if (client.context.store.isFailing && this.#cannotStore(entry, message, packetId, size)) return;
    this.#begin(size);
    const routed = client.context.router.route(client.endpoint.namespace, entry, message);
    const reasonCode = this.#reason(routed.hasReceivers || message.retain);
    if (routed.serial === 0 && routed.confirmation === null) {
      this.#answeredAtOnce++;
      this.#ack(ACK.puback, packetId, reasonCode);
    } else {
      this.#pendingAcks++;
      this.#whenStored(routed, (isRefused) => {
        this.#pendingAcks--;
        client.ack(ACK.puback, packetId, isRefused ? this.#refusal : reasonCode);
      });
    }
  }

  /** Acknowledges a message as soon as all earlier ones are acknowledged. */
  #ack(ack: Acknowledgement, packetId: number, reasonCode: number): void {
    const client = this.#client;
    if (this.#answers.isEmpty) client.ack(ack, packetId, reasonCode);
    else this.#answers.send(this.#answers.take(), () => client.ack(ack, packetId, reasonCode));
  }

  /** Refuses a message that belongs on disk while the disk cannot be written. False: the message may be routed. */
  #cannotStore(entry: TopicEntry, message: Message, packetId: number, size: number): boolean {
    if (!entry.wantsStore && !message.retain && !entry.groups.some(({ hasDurable }) => hasDurable)) return false;
    const client = this.#client;
    const { store, held } = client.context;
    client.countIn(size);
    if (client.version < 5) held.hold(this, message, packetId, size);
    else {
      store.countRefused();
      this.#ack(message.qos === 1 ? ACK.puback : ACK.pubrec, packetId, REASON.quotaExceeded);
    }
    return true;
  }

  again(message: Message, packetId: number, size: number): void {
    const client = this.#client;
    if (!client.isOnline) return;
    const entry = client.endpoint.namespace.entry(message.topic);
    if (message.qos === 1) this.atLeastOnce(entry, message, packetId, size);
    else this.exactlyOnce(entry, message, packetId, size);
  }

  giveUp(): void {
    this.#client.context.store.countRefused();
    this.#client.close(REASON.quotaExceeded, CANNOT_STORE);
  }

  /**
   * Routes a QoS 2 message, unless it is a repeat before PUBREL. Sends PUBREC when the message is routed or stored [MQTT-4.3.3-10].
   * @throws ProtocolError over the Receive Maximum
   */
  exactlyOnce(entry: TopicEntry, message: Message, packetId: number, size: number): void {
    const client = this.#client;
    if (this.isRepeat(packetId)) return;
    if (size >= LARGE_BYTES && client.memory.isShort) {
      this.#refuseLarge(ACK.pubrec, packetId, size);
      return;
    }
    const { store, router } = client.context;
    if (store.isFailing && this.#cannotStore(entry, message, packetId, size)) return;
    this.#begin(size);
    client.session!.receive(packetId);
    this.#uncompleted++;
    const routed = router.route(client.endpoint.namespace, entry, message);
    const reasonCode = this.#reason(routed.hasReceivers || message.retain);
    if (routed.serial === 0 && routed.confirmation === null) {
      this.#answeredAtOnce++;
      this.#ack(ACK.pubrec, packetId, reasonCode);
    } else {
      if (routed.confirmation !== null) router.confirmations.noteExchange(client.session!, packetId, routed.confirmation);
      this.#whenStored(
        routed,
        (isRefused) => {
          if (isRefused && client.version === 5) this.#refuse(packetId);
          else client.ack(ACK.pubrec, packetId, isRefused ? this.#refusal : reasonCode);
        },
        packetId,
      );
    }
  }

  /** Refuses with a PUBREC error, which ends the exchange and frees the identifier [MQTT-4.3.3-9]. MQTT 3.1.1 has no such PUBREC. */
  #refuse(packetId: number): void {
    const client = this.#client;
    const session = client.session!;
    session.complete(packetId);
    this.completed();
    const answer = () => client.ack(ACK.pubrec, packetId, this.#refusal);
    const completed = session.isDurable ? session.whenCompleted(packetId) : null;
    // The failing store has not recorded the identifier as in use.
    if (completed === null || client.context.store.isFailing) answer();
    else void completed.then(answer);
  }

  /**
   * Answers a repeated QoS 2 PUBLISH: its identifier still waits for PUBREL [MQTT-4.3.3-10]. Returns false for a new PUBLISH.
   * On a new connection the first repeat takes a place in the window, like any PUBLISH.
   * @throws ProtocolError over the Receive Maximum
   */
  isRepeat(packetId: number): boolean {
    const client = this.#client;
    const session = client.session!;
    if (session.received === null || !session.received.has(packetId)) return false;
    if (session.received.get(packetId) !== session.connection) {
      this.#ensurePlace();
      session.receive(packetId);
      this.#uncompleted++;
    }
    const { barrier, router } = client.context;
    const place = this.#answers.take();
    const answer = () =>
      this.#answers.send(place, () => {
        // When the message was refused while it waited, the refusal has sent the PUBREC.
        if (client.isOnline && session.received?.has(packetId)) client.ack(ACK.pubrec, packetId, 0);
      });
    // PUBREC makes the server responsible for the message: it must wait until the original is stored.
    barrier.waitForAll(() => {
      const confirmation = router.confirmations.ofExchange(session, packetId);
      if (confirmation === null) answer();
      else confirmation.when(answer);
    });
    return true;
  }

  /** Frees a place in the window as PUBCOMP goes out. The message may be an earlier connection's; the count never falls below 0. */
  completed(): void {
    if (this.#uncompleted > 0) this.#uncompleted--;
  }

  /**
   * Refuses a large message. MQTT 5 has a code that ends the exchange. MQTT 3 has none: only the end of the connection shows the refusal.
   */
  #refuseLarge(ack: Acknowledgement, packetId: number, size: number): void {
    const client = this.#client;
    client.countIn(size);
    client.endpoint.count('droppedMemory');
    if (client.version === 5) this.#ack(ack, packetId, REASON.quotaExceeded);
    else client.close(REASON.quotaExceeded, NO_MEMORY);
  }

  #ensurePlace(): void {
    const { version, receiveWindow } = this.#client;
    if (version !== 5 || this.#pendingAcks + this.#uncompleted < receiveWindow) return;
    throw new ProtocolError(REASON.receiveMaximumExceeded, `More than ${receiveWindow} QoS 1 and 2 messages are in flight`);
  }

  #begin(size: number): void {
    const client = this.#client;
    this.#ensurePlace();
    client.countIn(size);
    // Publishes acknowledged within their chunk are timed together: reading the clock costs as much as routing a message.
    if (this.#answeredAtOnce === 0) this.#chunkStartedAt = steadyNow();
  }

  /** Reason code for a message that was routed but not retained. MQTT 5 clients get it; MQTT 3 has no code for it. */
  get #refusal(): number {
    return this.#client.version === 5 ? REASON.quotaExceeded : 0;
  }

  #reason(isTaken: boolean): number {
    return isTaken || this.#client.version !== 5 ? 0 : REASON.noMatchingSubscribers;
  }

  /** Called when a chunk of input is handled. */
  chunkEnded(): void {
    if (this.#answeredAtOnce === 0) return;
    const seconds = (steadyNow() - this.#chunkStartedAt) / 1000;
    observe(this.#client.endpoint.slots, RESPONSE_PUBLISH, RESPONSE_BUCKETS, seconds, this.#answeredAtOnce);
    this.#answeredAtOnce = 0;
  }

  /**
   * Runs `then` when the message is on disk wherever it must be, and all earlier publishes of the client are acknowledged.
   * @param exchange QoS 2: the packet identifier
   */
  #whenStored({ serial, confirmation }: Routed, then: (isRefused: boolean) => void, exchange = 0): void {
    const client = this.#client;
    const session = client.session!;
    const startedAt = steadyNow();
    const place = this.#answers.take();
    const settle = (outcome: StoreOutcome) => {
      observe(client.endpoint.slots, RESPONSE_PUBLISH, RESPONSE_BUCKETS, (steadyNow() - startedAt) / 1000);
      const isSilent = outcome === 'unstored' && (client.version < 5 || !client.isOnline);
      // The client resends the message over its next connection, where it must count as new.
      if (isSilent && session.complete(exchange) && session.isDurable) void session.whenCompleted(exchange);
      if (!client.isOnline) return;
      // MQTT 3 has no code for a refusal.
      if (isSilent) this.giveUp();
      else this.#answers.send(place, () => then(outcome !== 'stored'));
    };
    const whenConfirmed = (outcome: StoreOutcome) => {
      if (confirmation === null) settle(outcome);
      else confirmation.when((isStored) => settle(isStored ? outcome : 'unstored'));
    };
    // The session worker, or its replacement, stores the message for everybody but the members of shared groups on other workers.
    if (serial > 0) client.context.barrier.wait(serial, whenConfirmed);
    else whenConfirmed('stored');
  }
}
