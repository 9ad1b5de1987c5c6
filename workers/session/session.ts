/** One session: subscriptions, messages in flight and waiting, received QoS 2 identifiers. It outlives the connection (MQTT 5 section 4.1). */

import { steadyNow } from '../../src/kernel/clock.ts';
import { Fifo } from '../../src/kernel/fifo.ts';
import type { QoS } from '../../src/mqtt/packet.ts';
import type { DurableOp, WireDelivery, WireSession, WireSubscription } from '../mesh/controls.ts';
import type { Message } from '../routing/message.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Grant, GroupHome, Run, Subscriber, Subscription } from '../routing/subscriber.ts';
import { Backlog } from './flight/backlog.ts';
import { type Delivery, deliveryKey, fromWireDelivery, nameOf, toWireDelivery } from './flight/delivery.ts';
import { InFlight } from './flight/in-flight.ts';
import { bytesOfFilter, DELIVERY_BYTES } from './footprint.ts';
import { sessionKey } from './keys.ts';
import type { SessionOutlet, SourceGate } from './outlet.ts';
import type { Holder } from './rights/holder.ts';
import { fromWireWill, type PendingWill, toWireWill } from './will/pending-will.ts';

export { NEVER_EXPIRES, sessionKey, subscriptionKey } from './keys.ts';

export type DropReason = 'queue_full' | 'queue_bytes' | 'memory' | 'slow_consumer' | 'expired' | 'packet_too_large' | 'acl_denied';

/** What a session tells the worker that hosts it. */
export interface SessionHost {
  onDrop(session: Session, reason: DropReason, count: number): void;
  /** Whether so many bytes more may wait for the session; null: yes. */
  refuseBytes(session: Session, bytes: number): DropReason | null;
  /** bytes that may be in flight to the session */
  flightBytes(session: Session): number;
  /** A change that must be kept on disk; called only while isDurable. */
  onDurable(session: Session, op: DurableOp): void;
  /** As onDurable(); resolves when it is on disk. */
  whenDurable(session: Session, op: DurableOp): Promise<void>;
  /** Whether the rules still allow the will of the session; if not, the host counts and logs that. */
  mayPublishWill(session: Session, will: PendingWill): boolean;
}

export class Session implements Subscriber {
  readonly key: string;
  readonly namespace: Namespace;
  readonly clientId: string;
  readonly #host: SessionHost;
  outlet: SessionOutlet | null = null;
  gate: SourceGate | null = null;
  /** deliveryKey() of messages that came back from disk and may be said again by a peer that does not know that they were stored */
  restored: Set<string> | null = null;
  /** key (with $share prefix for shared ones) → subscription */
  readonly subscriptions = new Map<string, Subscription>();
  /** what its subscriptions take, about */
  filterBytes = 0;
  readonly inflight = new InFlight();
  readonly queue = new Backlog();
  /** in flight since an earlier connection, not repeated yet: the new one's window is full [MQTT-3.3.4-9] */
  #unrepeated: Fifo<Delivery> | null = null;
  /** received QoS 2 identifiers that wait for PUBREL, each with the connection that brought its PUBLISH last; 0: one before a move or restart */
  received: Map<number, number> | null = null;
  /** null: not recorded by the version that stored it */
  holder: Holder | null = null;
  endpoint = '';
  /** connection number of the claim by which it is held here */
  connection = 0;
  /** group of identifiers by which it was decided about in this worker; -1: the session worker knows it */
  group = -1;
  /** the next one of the group */
  nextOfGroup: Session | null = null;
  expirySeconds = 0;
  disconnectedAt = 0;
  isDurable = false;
  maxQueued = 1000;
  /** of the connection that has the session, or of the last one */
  will: PendingWill | null = null;
  #nextPacketId = 1;
  /** places of the send window that are taken: PUBLISH packets of this connection that were not settled; a new one begins with none (MQTT 5 section 4.9) */
  #open = 0;
  /** messages that are sent as soon as their identifier is on disk */
  #storing = 0;
  /** who waits for room; null: nobody */
  #whenRoom: (() => void)[] | null = null;
  /** keys of subscriptions with QoS 1 or 2 whose retained messages were not all sent: asked for anew by the next connection; null: none */
  retainedDue: Set<string> | null = null;
  #isEnded = false;

  constructor(namespace: Namespace, clientId: string, host: SessionHost) {
    this.key = sessionKey(namespace.name, clientId);
    this.namespace = namespace;
    this.clientId = clientId;
    this.#host = host;
  }

  get isConnected(): boolean {
    return this.outlet !== null;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  deliverRun(run: Run, source: number, group: GroupHome | null): boolean {
    if (group === null && this.gate !== null && !this.gate.accepts(source)) return true;
    const outlet = this.outlet;
    // QoS 0 is not kept for a client that is away.
    if (outlet === null) return true;
    if (!outlet.takesRuns) return false;
    if (outlet.isSlow) this.#host.onDrop(this, 'slow_consumer', run.count);
    else outlet.sendRun(run);
    return true;
  }

  deliver(message: Message, grant: Grant, source: number, group: GroupHome | null): void {
    if (group === null && this.gate !== null && !this.gate.accepts(source)) return;
    if (this.restored?.delete(deliveryKey(message, group))) return;
    const qos = (message.qos < grant.qos ? message.qos : grant.qos) as QoS;
    this.send(message, qos, grant.retainAsPublished && message.retain, grant.identifiers, group);
  }

  /** Sends or queues one message with the flags given. `isPrivate`: routed to this session alone, so that no journal has seen it. */
  send(message: Message, qos: QoS, retain: boolean, identifiers: readonly number[], group: GroupHome | null, isPrivate = false): void {
    const outlet = this.outlet;
    if (qos === 0) {
      if (outlet === null) return;
      if (outlet.isSlow) this.#host.onDrop(this, 'slow_consumer', 1);
      else if (!outlet.sendPublish(message, 0, retain, false, 0, identifiers)) this.#host.onDrop(this, 'packet_too_large', 1);
      return;
    }
    const home = group === null ? null : { filter: group.filter, name: group.name };
    const delivery: Delivery = { message, qos, retain, identifiers, packetId: 0, order: 0, isReleased: false, group: home };
    if (this.isDurable && (home !== null || isPrivate)) this.#journal({ op: 'put', delivery: toWireDelivery(delivery) });
    if (outlet !== null && this.queue.length === 0 && this.#unrepeated === null && this.#hasPlace(outlet) && !outlet.isSlow) {
      // Onward delivery begins with the routing: what expires at once still reaches who is there (MQTT 5 section 3.3.2.3.3).
      this.#transmit(delivery, outlet);
      return;
    }
    if (message.expiresAt !== 0 && message.isExpired(steadyNow())) {
      this.#drop(delivery, 'expired');
      return;
    }
    const isFull = this.queue.length >= this.maxQueued;
    const refusal = isFull ? 'queue_full' : this.#host.refuseBytes(this, message.size + DELIVERY_BYTES);
    if (refusal !== null) {
      this.#drop(delivery, refusal);
      return;
    }
    this.queue.push(delivery);
  }

  /** The window has a place, and an identifier is free: those that the client has forgotten take none of the window, but their identifier. */
  #hasPlace(outlet: SessionOutlet): boolean {
    if (this.#open >= outlet.sendWindow || this.inflight.isFull) return false;
    return !this.inflight.isHeavy || this.inflight.bytes < this.#host.flightBytes(this);
  }

  #transmit(delivery: Delivery, outlet: SessionOutlet): void {
    const { message } = delivery;
    const packetId = this.inflight.freeId(this.#nextPacketId);
    this.#nextPacketId = packetId === 65535 ? 1 : packetId + 1;
    // QoS 1 does not overtake what waits for the disk.
    if (this.isDurable && (delivery.qos === 2 || this.#storing > 0)) {
      this.#transmitStored(delivery, outlet, packetId);
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

  /** Exactly once holds over kill -9 only if the identifier is on disk before the client can see it. */
  #transmitStored(delivery: Delivery, outlet: SessionOutlet, packetId: number): void {
    const { message } = delivery;
    this.inflight.add(delivery, packetId);
    this.#open++;
    this.#storing++;
    const stored = this.#host.whenDurable(this, { op: 'sent', ...nameOf(delivery), packetId });
    void stored.then(() => {
      this.#storing--;
      if (this.outlet !== outlet || this.inflight.get(packetId) !== delivery) return;
      if (outlet.sendPublish(message, delivery.qos, delivery.retain, false, packetId, delivery.identifiers)) return;
      this.#open--;
      this.#forget(packetId, delivery, 'packet_too_large');
      this.fill();
    });
  }

  /** Whether a QoS 1 or 2 message would be sent at once: those that can come at any pace wait for it, the queue is for the others. */
  get hasRoom(): boolean {
    const outlet = this.outlet;
    return outlet !== null && this.queue.length === 0 && this.#unrepeated === null && this.#hasPlace(outlet) && !outlet.isSlow;
  }

  /** Calls `go` when there is room again; never, if the connection ends before. */
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

  /** Sends what waits, as far as the window and the client's reading allow. */
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

  /** PUBACK or PUBCOMP, or PUBREC with an error: the message is done. False: no such identifier. */
  acknowledge(packetId: number, qos: 1 | 2): boolean {
    const delivery = this.inflight.get(packetId);
    if (delivery === undefined || delivery.qos !== qos) return false;
    this.inflight.delete(packetId);
    // Also by one of an earlier connection, but never over the whole window (MQTT 5 section 4.9).
    if (this.#open > 0) this.#open--;
    this.#settle(delivery);
    if (this.queue.length > 0 || this.#unrepeated !== null || this.#whenRoom !== null) this.fill();
    return true;
  }

  /**
   * PUBREC: from now on PUBREL is what is repeated [MQTT-4.3.3-5].
   * @returns false: no such identifier; a promise: PUBREL may be sent when it resolves
   */
  release(packetId: number): boolean | Promise<void> {
    const delivery = this.inflight.get(packetId);
    if (delivery === undefined || delivery.qos !== 2) return false;
    if (delivery.isReleased) return true;
    delivery.isReleased = true;
    return this.isDurable ? this.#host.whenDurable(this, { op: 'released', packetId, ...nameOf(delivery) }) : true;
  }

  /**
   * Remembers a received QoS 2 identifier [MQTT-4.3.3-10].
   * @returns `repeat`: this connection has brought it before; `resumed`: an earlier one has; in both cases the message is not routed again
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

  /** PUBREL: the identifier is free again, also when it was before. @returns false: it was not known */
  complete(packetId: number): boolean {
    return this.received?.delete(packetId) ?? false;
  }

  /**
   * After complete() of a durable session: PUBCOMP may be sent when it resolves. The client uses the identifier for a new message then, which
   * would be taken for the old one after kill -9 (issue 10).
   */
  whenCompleted(packetId: number): Promise<void> {
    return this.#host.whenDurable(this, { op: 'completed', packetId });
  }

  /** A connection takes the session: repeats what is in flight with the same identifiers [MQTT-4.4.0-1], then what waits. */
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
      // The client acknowledged it before its turn came.
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

  /** The connection is gone; the session stays. */
  detach(): void {
    this.#whenRoom = null;
    this.outlet = null;
    this.#unrepeated = null;
    this.disconnectedAt = steadyNow();
    for (const delivery of this.inflight.inOrder()) delivery.message.detach();
  }

  /** A subscription is taken back without its client having asked for that. */
  noteUnsubscribed(filter: string, group: string | null): void {
    if (this.isDurable) this.#journal({ op: 'unsubscribe', filter, group });
  }

  get hasDeliveries(): boolean {
    return this.queue.length > 0 || this.inflight.size > 0;
  }

  /**
   * Takes out what waits and may not be delivered. What the present connection has been sent stays. Of what earlier ones have been sent,
   * QoS 1 is forgotten, and QoS 2 goes on with PUBREL, so that both sides have done with the identifier.
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
    delivery.isReleased = true;
    if (this.isDurable) this.#journal({ op: 'released', packetId, ...nameOf(delivery) });
    this.outlet?.sendPubrel(packetId);
  }

  /** The session has ended for good. @returns what shared subscriptions gave it and it did not acknowledge: give it to other members */
  end(): Delivery[] {
    this.#isEnded = true;
    this.outlet = null;
    this.#whenRoom = null;
    const shared: Delivery[] = [];
    for (const delivery of this.inflight.inOrder()) if (delivery.group !== null && !delivery.isReleased) shared.push(delivery);
    for (const delivery of this.queue) if (delivery.group !== null) shared.push(delivery);
    this.clear();
    return shared;
  }

  /** Forgets its messages: the session has ended, or is elsewhere. */
  clear(): void {
    this.inflight.clear();
    this.queue.clear();
  }

  /** Adds a subscription, or replaces the one of its key. */
  putSubscription(key: string, subscription: Subscription): void {
    if (!this.subscriptions.has(key)) this.filterBytes += bytesOfFilter(key);
    this.subscriptions.set(key, subscription);
  }

  dropSubscription(key: string): void {
    if (this.subscriptions.delete(key)) this.filterBytes -= bytesOfFilter(key);
  }

  #settle(delivery: Delivery): void {
    if (!this.isDurable) return;
    this.#journal({ op: 'settled', ...nameOf(delivery) });
  }

  #journal(op: DurableOp): void {
    this.#host.onDurable(this, op);
  }

  /** Everything, as plain data. */
  toWire(): WireSession {
    const deliveries: WireDelivery[] = [];
    for (const delivery of this.inflight.inOrder()) deliveries.push(toWireDelivery(delivery));
    for (const delivery of this.queue) deliveries.push(toWireDelivery(delivery));
    return { ...this.toWireHead(), deliveries };
  }

  /** Everything but the deliveries, which may be very many. */
  toWireHead(): WireSession {
    return {
      namespace: this.namespace.name,
      clientId: this.clientId,
      holder: this.holder,
      endpoint: this.endpoint,
      expirySeconds: this.expirySeconds,
      disconnectedAt: this.disconnectedAt,
      isDurable: this.isDurable,
      maxQueued: this.maxQueued,
      subscriptions: [...this.subscriptions.values()].map(toWireSubscription),
      deliveries: [],
      received: this.received === null ? [] : [...this.received.keys()],
      nextPacketId: this.#nextPacketId,
      will: this.will === null ? null : toWireWill(this.will),
      ...(this.retainedDue === null ? {} : { retainedDue: [...this.retainedDue] }),
    };
  }

  /** Takes over state from elsewhere; what arrived here meanwhile comes behind it. Subscriptions are installed by the caller. */
  adopt(wire: WireSession, deliveries: Iterable<Delivery> = wire.deliveries.map(fromWireDelivery)): void {
    this.holder = wire.holder;
    this.endpoint = wire.endpoint;
    this.expirySeconds = wire.expirySeconds;
    this.disconnectedAt = wire.disconnectedAt;
    this.isDurable = wire.isDurable;
    this.maxQueued = wire.maxQueued;
    this.#nextPacketId = wire.nextPacketId;
    if (wire.retainedDue !== undefined) this.retainedDue = new Set(wire.retainedDue);
    if (wire.received.length > 0) this.received = new Map(wire.received.map((packetId) => [packetId, 0]));
    this.will = wire.will === null ? null : fromWireWill(wire.will);
    const later = [...this.queue];
    this.queue.clear();
    for (const own of deliveries) {
      if (own.packetId === 0) this.queue.push(own);
      else this.inflight.add(own, own.packetId);
    }
    for (const delivery of later) {
      if (this.queue.length < this.maxQueued) this.queue.push(delivery);
      else this.#drop(delivery, 'queue_full');
    }
  }
}

export function toWireSubscription(subscription: Subscription): WireSubscription {
  const { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier } = subscription;
  return { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier };
}
