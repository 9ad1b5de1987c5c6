/** One session: subscriptions, messages in flight and queued, received QoS 2 identifiers. Outlives the connection (MQTT 5 section 4.1). */

import { steadyNow } from '../../../src/kernel/clock.ts';
import { Fifo } from '../../../src/kernel/fifo.ts';
import type { QoS } from '../../../src/mqtt/packet.ts';
import type { Message } from '../messages/message.ts';
import type { Run } from '../messages/run.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { SharedReports } from '../routing/shared-reports.ts';
import type { Grant, GroupHome, Subscriber, Subscription } from '../routing/subscriber.ts';
import type { DurableOp } from '../wire/controls.ts';
import type { Holder } from '../wire/holder.ts';
import type { Announcing } from './announcing.ts';
import { Backlog } from './flight/backlog.ts';
import type { Deliveries } from './flight/deliveries.ts';
import { type Delivery, deliveryKey, nameOf, toWireDelivery } from './flight/delivery.ts';
import { InFlight } from './flight/in-flight.ts';
import { DELIVERY_BYTES } from './footprint.ts';
import type { DropReason, HostOf } from './host.ts';
import { sessionKey } from './keys.ts';
import type { SessionOutlet, SourceGate } from './outlet.ts';
import type { PendingWill } from './pending-will.ts';

export type { DropReason } from './host.ts';
export { NEVER_EXPIRES, sessionKey, subscriptionKey } from './keys.ts';

export type SessionHost = HostOf<Session>;

export class Session implements Subscriber {
  readonly key: string;
  readonly namespace: Namespace;
  readonly clientId: string;
  readonly #host: SessionHost;
  readonly #reports: SharedReports;
  outlet: SessionOutlet | null = null;
  gate: SourceGate | null = null;
  /** deliveryKey() of messages restored from disk, which a peer may resend because it missed the confirmation */
  restored: Set<string> | null = null;
  /** key (with $share prefix for shared ones) → subscription */
  readonly subscriptions = new Map<string, Subscription>();
  /** characters of the keys of all subscriptions */
  filterLength = 0;
  inflight = new InFlight();
  queue = new Backlog();
  /** deliveries of earlier connections that this connection has not been sent yet, because its window is full [MQTT-3.3.4-9] */
  #unrepeated: Fifo<Delivery> | null = null;
  /** received QoS 2 identifiers that wait for PUBREL → connection of the latest PUBLISH; 0: a connection before a move or restart */
  received: Map<number, number> | null = null;
  /** null: the version that stored the session did not record it */
  holder: Holder | null = null;
  endpoint = '';
  /** connection number of the claim that brought the session here */
  connection = 0;
  /** stamp of that claim, in a cluster */
  stamp = 0;
  /** group of the client identifier, when this worker decides about the group; -1: the session worker decides */
  group = -1;
  /** next session of the group */
  nextOfGroup: Session | null = null;
  expirySeconds = 0;
  disconnectedAt = 0;
  isDurable = false;
  maxQueued = 1000;
  /** will of the present or the last connection */
  will: PendingWill | null = null;
  /** unsettled PUBLISH packets of this connection, which take the places of the send window (MQTT 5 section 4.9) */
  #open = 0;
  /** number of messages that wait until their packet identifier is on disk */
  #storing = 0;
  /** callbacks that wait for room; null: none */
  #whenRoom: (() => void)[] | null = null;
  /** keys of QoS 1/2 subscriptions with unsent retained messages, which the next connection requests again; null: none */
  retainedDue: Set<string> | null = null;
  /** not null while this worker reports the session to a new session worker in pieces: the session may not move before the last piece */
  announcing: Announcing | null = null;
  #isEnded = false;

  constructor(namespace: Namespace, clientId: string, host: SessionHost, reports: SharedReports) {
    this.key = sessionKey(namespace.name, clientId);
    this.namespace = namespace;
    this.clientId = clientId;
    this.#host = host;
    this.#reports = reports;
  }

  get isConnected(): boolean {
    return this.outlet !== null;
  }

  get isLeaving(): boolean {
    return this.gate?.isLeaving === true;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  deliverRun(run: Run, source: number, group: GroupHome | null): boolean {
    if (group === null && this.gate !== null && !this.gate.accepts(source)) return true;
    const outlet = this.outlet;
    // QoS 0 is not stored for an offline client.
    if (outlet === null) return true;
    if (!outlet.takesRuns) return false;
    if (outlet.isSlow) this.#host.onDrop(this, 'slow_consumer', run.count);
    else outlet.sendRun(run);
    return true;
  }

  deliver(message: Message, grant: Grant, source: number, group: GroupHome | null): Promise<void> | null {
    if (group === null && this.gate !== null && !this.gate.accepts(source)) return null;
    if (this.restored?.delete(deliveryKey(message, group))) {
      this.#reports.settled(message, group);
      return null;
    }
    const qos = (message.qos < grant.qos ? message.qos : grant.qos) as QoS;
    return this.send(message, qos, grant.retainAsPublished && message.retain, grant.identifiers, group);
  }

  /**
   * Sends or queues one message with the given flags.
   * @param isPrivate routed to this session alone, so no journal has seen it
   * @returns as deliver()
   */
  send(
    message: Message,
    qos: QoS,
    retain: boolean,
    identifiers: readonly number[],
    group: GroupHome | null,
    isPrivate = false,
  ): Promise<void> | null {
    if (qos === 0) {
      this.#sendOnce(message, retain, identifiers);
      this.#reports.settled(message, group);
      return null;
    }
    const home = group === null ? null : { filter: group.filter, name: group.name };
    const delivery: Delivery = { message, qos, retain, identifiers, packetId: 0, order: 0, isReleased: false, group: home };
    let stored: Promise<void> | null = null;
    if (this.isDurable && home !== null) {
      stored = this.#host.whenDurable(this, { op: 'put', delivery: toWireDelivery(delivery) });
      this.#reports.stored(message, home, stored);
    } else if (this.isDurable && isPrivate) this.#journal({ op: 'put', delivery: toWireDelivery(delivery) });
    this.#place(delivery);
    return stored;
  }

  /** Sends a QoS 0 message, or drops it. */
  #sendOnce(message: Message, retain: boolean, identifiers: readonly number[]): void {
    const { outlet } = this;
    if (outlet === null) return;
    if (outlet.isSlow) this.#host.onDrop(this, 'slow_consumer', 1);
    else if (!outlet.sendPublish(message, 0, retain, false, 0, identifiers)) this.#host.onDrop(this, 'packet_too_large', 1);
  }

  /** Sends a QoS 1 or 2 message, or queues it, or drops it. */
  #place(delivery: Delivery): void {
    const { outlet } = this;
    const { message } = delivery;
    if (outlet !== null && this.queue.length === 0 && this.#unrepeated === null && this.#hasPlace(outlet) && !outlet.isSlow) {
      // Delivery starts with the routing, so an online client also gets a message that expires at once (MQTT 5 section 3.3.2.3.3).
      this.#transmit(delivery, outlet);
      return;
    }
    if (message.expiresAt !== 0 && message.isExpired(steadyNow())) {
      this.#drop(delivery, 'expired');
      return;
    }
    const isFull = this.queue.length >= this.maxQueued;
    const refusal = isFull ? 'queue_full' : this.#host.refuseBytes(this, message.size + DELIVERY_BYTES);
    if (refusal === null) this.queue.push(delivery);
    else this.#drop(delivery, refusal);
  }

  /** True when the window has a free place and an identifier is free. A message of an earlier connection may hold an identifier without a place. */
  #hasPlace(outlet: SessionOutlet): boolean {
    if (this.#open >= outlet.sendWindow || this.inflight.isFull) return false;
    return !this.inflight.isHeavy || this.inflight.bytes < this.#host.flightBytes(this);
  }

  #transmit(delivery: Delivery, outlet: SessionOutlet): void {
    const { message } = delivery;
    const packetId = this.inflight.takeId();
    // QoS 1 must not overtake messages that wait for the disk, or for another node.
    if (this.#storing > 0 || (delivery.qos === 2 && (this.isDurable || this.#reports.keeps(delivery)))) {
      this.#transmitLater(delivery, outlet, packetId);
      return;
    }
    if (!outlet.sendPublish(message, delivery.qos, delivery.retain, false, packetId, delivery.identifiers)) {
      // [MQTT-3.1.2-25]: a packet too large for the client is treated as if it had been sent and acknowledged.
      this.#drop(delivery, 'packet_too_large');
      return;
    }
    this.inflight.add(delivery, packetId);
    this.#open++;
    if (this.isDurable) this.#journal({ op: 'sent', ...nameOf(delivery), packetId });
  }

  /**
   * Sends when the identifier is on disk, or another node knows which client gets the message: otherwise kill -9, of this thread or of the
   * process, would break "exactly once".
   */
  #transmitLater(delivery: Delivery, outlet: SessionOutlet, packetId: number): void {
    const { message } = delivery;
    this.inflight.add(delivery, packetId);
    this.#open++;
    this.#storing++;
    const sendable = this.isDurable
      ? this.#host.whenDurable(this, { op: 'sent', ...nameOf(delivery), packetId })
      : this.#reports.whenSendable(delivery, this.key);
    void sendable.then(() => {
      this.#storing--;
      if (this.outlet !== outlet || this.inflight.get(packetId) !== delivery) return;
      if (outlet.sendPublish(message, delivery.qos, delivery.retain, false, packetId, delivery.identifiers)) return;
      this.#open--;
      this.#forget(packetId, delivery, 'packet_too_large');
      this.fill();
    });
  }

  /** Whether a QoS 1 or 2 message would be sent at once. Retained messages wait for that; the queue is for new messages. */
  get hasRoom(): boolean {
    const outlet = this.outlet;
    return outlet !== null && this.queue.length === 0 && this.#unrepeated === null && this.#hasPlace(outlet) && !outlet.isSlow;
  }

  /** Calls `go` when there is room again; never when the connection ends first. */
  whenRoom(go: () => void): void {
    this.#whenRoom ??= [];
    this.#whenRoom.push(go);
  }

  #tellRoom(): void {
    const waiting = this.#whenRoom;
    if (waiting === null) return;
    this.#whenRoom = null;
    for (const go of waiting) go();
  }

  /** Sends waiting messages, as far as the window and the client's reading allow. */
  fill(): void {
    const outlet = this.outlet;
    if (outlet === null) return;
    if (this.#unrepeated !== null) this.#repeat(this.#unrepeated, outlet);
    if (this.#unrepeated !== null) return;
    while (this.queue.length > 0 && this.#hasPlace(outlet) && !outlet.isSlow) {
      const delivery = this.queue.shift()!;
      const { message } = delivery;
      if (message.expiresAt !== 0 && message.isExpired(steadyNow())) this.#drop(delivery, 'expired');
      else this.#transmit(delivery, outlet);
    }
    if (this.#whenRoom !== null && this.hasRoom) this.#tellRoom();
  }

  /** Settles a message after PUBACK, PUBCOMP, or PUBREC with an error. False when the identifier is unknown. */
  acknowledge(packetId: number, qos: 1 | 2): boolean {
    const delivery = this.inflight.get(packetId);
    if (delivery === undefined || delivery.qos !== qos) return false;
    this.inflight.delete(packetId);
    // A message of an earlier connection frees a place, too, but the window never gets more places than it has (MQTT 5 section 4.9).
    if (this.#open > 0) this.#open--;
    this.#settle(delivery);
    if (this.queue.length > 0 || this.#unrepeated !== null || this.#whenRoom !== null) this.fill();
    return true;
  }

  /**
   * Handles PUBREC: from then on PUBREL is repeated instead of the message [MQTT-4.3.3-5].
   * @returns false when the identifier is unknown; a promise when PUBREL may be sent only after it resolves
   */
  release(packetId: number): boolean | Promise<void> {
    const delivery = this.inflight.get(packetId);
    if (delivery === undefined || delivery.qos !== 2) return false;
    if (delivery.isReleased) return true;
    this.#reports.settle(delivery);
    delivery.isReleased = true;
    return this.isDurable ? this.#host.whenDurable(this, { op: 'released', packetId, ...nameOf(delivery) }) : true;
  }

  /**
   * Remembers a received QoS 2 identifier [MQTT-4.3.3-10].
   * @returns `repeat`: known from this connection; `resumed`: known from an earlier connection. Neither is routed again
   */
  receive(packetId: number): 'new' | 'resumed' | 'repeat' {
    this.received ??= new Map();
    const connection = this.received.get(packetId);
    if (connection === this.connection) return 'repeat';
    this.received.set(packetId, this.connection);
    if (connection !== undefined) return 'resumed';
    if (this.isDurable) this.#journal({ op: 'received', packetId });
    return 'new';
  }

  /** Handles PUBREL: frees the identifier. @returns false when the identifier was unknown */
  complete(packetId: number): boolean {
    return this.received?.delete(packetId) ?? false;
  }

  /**
   * Resolves when complete() of a durable session is on disk. PUBCOMP must wait for that: the client then uses the identifier for a new
   * message, which a broker restarted after kill -9 would take for the old message (issue 10).
   */
  whenCompleted(packetId: number): Promise<void> {
    return this.#host.whenDurable(this, { op: 'completed', packetId });
  }

  /** Gives the session to a connection: resends the messages in flight with their identifiers [MQTT-4.4.0-1], then sends the queue. */
  attach(outlet: SessionOutlet): void {
    this.outlet = outlet;
    this.disconnectedAt = 0;
    this.#open = 0;
    const unrepeated = new Fifo<Delivery>();
    for (const delivery of this.inflight.inOrder()) {
      if (delivery.isReleased) outlet.sendPubrel(delivery.packetId);
      else unrepeated.push(delivery);
    }
    this.#unrepeated = unrepeated;
    this.fill();
  }

  #repeat(unrepeated: Fifo<Delivery>, outlet: SessionOutlet): void {
    const now = steadyNow();
    while (unrepeated.length > 0 && this.#open < outlet.sendWindow && !outlet.isSlow) {
      const delivery = unrepeated.shift()!;
      const { message, packetId, qos } = delivery;
      // The client acknowledged the message before its turn came.
      if (delivery.isReleased || this.inflight.get(packetId) !== delivery) continue;
      if (message.isExpired(now) && qos === 1) this.#forget(packetId, delivery, 'expired');
      else if (!outlet.sendPublish(message, qos, delivery.retain, true, packetId, delivery.identifiers)) {
        this.#forget(packetId, delivery, 'packet_too_large');
      } else this.#open++;
    }
    if (unrepeated.length === 0) this.#unrepeated = null;
  }

  #forget(packetId: number, delivery: Delivery, reason: DropReason): void {
    this.inflight.delete(packetId);
    this.#drop(delivery, reason);
  }

  #drop(delivery: Delivery, reason: DropReason): void {
    this.#host.onDrop(this, reason, 1);
    this.#settle(delivery);
  }

  /** Takes the session from its connection, which is gone; the session stays. */
  detach(): void {
    this.#whenRoom = null;
    this.outlet = null;
    this.#unrepeated = null;
    this.disconnectedAt = steadyNow();
    for (const delivery of this.inflight.inOrder()) delivery.message.detach();
  }

  /** Notes a subscription that was withdrawn without a request of the client. */
  noteUnsubscribed(filter: string, group: string | null): void {
    if (this.isDurable) this.#journal({ op: 'unsubscribe', filter, group });
  }

  /**
   * Removes waiting messages that may not be delivered. Messages sent to the present connection stay. A message sent to an earlier connection
   * is dropped with QoS 1, and continues with PUBREL with QoS 2, so that both sides finish the identifier.
   */
  withhold(mayDeliver: (delivery: Delivery) => boolean): Delivery[] {
    const withheld = this.queue.remove((delivery) => !mayDeliver(delivery));
    for (const delivery of withheld) this.#settle(delivery);
    const repeated = this.#unrepeated ?? (this.outlet === null ? this.inflight.inOrder() : []);
    const unsent = [...repeated].filter((delivery) => !delivery.isReleased && !mayDeliver(delivery));
    if (unsent.length === 0) return withheld;
    this.#unrepeated?.remove((delivery) => unsent.includes(delivery));
    for (const delivery of unsent) this.#withholdSent(delivery);
    return [...withheld, ...unsent];
  }

  #withholdSent(delivery: Delivery): void {
    const { packetId } = delivery;
    if (delivery.qos === 1) {
      this.inflight.delete(packetId);
      this.#settle(delivery);
      return;
    }
    this.#reports.settle(delivery);
    delivery.isReleased = true;
    if (this.isDurable) this.#journal({ op: 'released', packetId, ...nameOf(delivery) });
    this.outlet?.sendPubrel(packetId);
  }

  /**
   * Ends the session for good.
   * @returns its unacknowledged messages of shared subscriptions, for other members; without QoS 2 messages in flight [MQTT-4.8.2-5]
   */
  end(): Delivery[] {
    this.#isEnded = true;
    this.outlet = null;
    this.#whenRoom = null;
    const shared: Delivery[] = [];
    for (const delivery of this.inflight.inOrder())
      if (delivery.group !== null && delivery.qos === 1) shared.push(delivery);
      else this.#reports.settle(delivery);
    for (const delivery of this.queue) if (delivery.group !== null) shared.push(delivery);
    this.clear();
    return shared;
  }

  /** Drops its messages, because the session has ended or moved. */
  clear(): void {
    this.inflight.clear();
    this.queue.clear();
  }

  /** Adds a subscription, or replaces the one with its key. */
  putSubscription(key: string, subscription: Subscription): void {
    if (!this.subscriptions.has(key)) this.filterLength += key.length;
    this.subscriptions.set(key, subscription);
  }

  dropSubscription(key: string): void {
    if (this.subscriptions.delete(key)) this.filterLength -= key.length;
  }

  #settle(delivery: Delivery): void {
    this.#reports.settle(delivery);
    if (!this.isDurable) return;
    this.announcing?.unannounced.delete(delivery);
    this.#journal({ op: 'settled', ...nameOf(delivery) });
  }

  #journal(op: DurableOp): void {
    this.#host.onDurable(this, op);
  }

  /**
   * Puts the deliveries of another place ahead of those that have arrived here. The session owns `inflight` and `queue` from now on.
   * @param nextPacketId the identifier that the other place would have used next
   */
  putAhead({ inflight, queue }: Deliveries, nextPacketId: number): void {
    inflight.nextId = nextPacketId;
    const later = this.queue;
    this.inflight = inflight;
    this.queue = queue;
    for (const delivery of inflight.inOrder()) this.#reports.held(delivery);
    for (const delivery of queue) this.#reports.held(delivery);
    for (const delivery of later) {
      if (queue.length < this.maxQueued) queue.push(delivery);
      else this.#drop(delivery, 'queue_full');
    }
    later.clear();
  }
}
