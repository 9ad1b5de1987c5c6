/** Moves a session between two workers. Messages keep arriving, and none is lost, repeated or reordered (docs/internals/peers.md, Moves). */

import { Pace } from '../../../src/kernel/turns/pace.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Subscription } from '../routing/subscriber.ts';
import { Deliveries } from '../session/flight/deliveries.ts';
import type { Delivery } from '../session/flight/delivery.ts';
import { decodeBatch, encodeBatch } from '../session/flight/delivery-batch.ts';
import { bytesOfSession } from '../session/footprint.ts';
import type { SourceGate } from '../session/outlet.ts';
import type { Session } from '../session/session.ts';
import type { Subscriptions } from '../session/subscriptions.ts';
import { toWireSubscription } from '../session/wire-subscription.ts';
import type { Control, MoveNews, SessionOffer, WireSession, WireSubscription } from '../wire/controls.ts';
import { PIECE_LENGTH } from '../wire/piece.ts';
import { takeState, toWireHead } from './wire-session.ts';

/** Source number of this worker's own publishers. */
const LOCAL = 0;

/** Bytes of a session's deliveries per part of a move. */
const PART_BYTES = 64 * 1024;
/** Subscriptions of a session per piece of an offer: the new place installs a piece within milliseconds. */
const OFFER_FILTERS = 250;
/** Milliseconds of one loop iteration in which a session's subscriptions are offered. */
const OFFER_MS = 5;

/** Messages that may wait while a session moves here; equal to the largest `maxQueuedMessages`. */
const ARRIVING_MAX = 1_000_000;

/**
 * The protocol. The old place B freezes the session and offers its filters in pieces. The new place A installs and announces them, the last
 * piece with the move. Until then every message goes to B.
 * Each peer P that knows the announcement sends "cut" to B, behind everything it has sent there, and acknowledges to A. B therefore keeps
 * every message before the cut, A takes every message after the acknowledgement, and no message falls between the two. When all cuts are
 * in, B sends the state, and A appends its own queue. Messages of shared groups are not gated, because each goes to one place only: to B until
 * the last piece, then to A.
 */
export class Mover {
  readonly #mesh: Mesh;
  readonly #subscriptions: Subscriptions;
  readonly #leaving = new Map<number, Leaving>();
  readonly #arriving = new Map<number, Arriving>();

  constructor(mesh: Mesh, subscriptions: Subscriptions) {
    this.#mesh = mesh;
    this.#subscriptions = subscriptions;
  }

  /**
   * Freezes a session that moves to the peer `to`.
   * @param onLeft called when it has left, with the bytes that it took here
   * @returns its first subscriptions, to be announced there, and the number of the others
   */
  offer(move: number, session: Session, to: number, onLeft: (bytes: number) => void): SessionOffer {
    // The new move replaces one that is stuck.
    for (const [other, { session: frozen }] of this.#leaving) if (frozen === session) this.#leaving.delete(other);
    const leaving = new Leaving(session, to, onLeft);
    session.gate = leaving;
    this.#leaving.set(move, leaving);
    const { subscriptions, inflight, queue } = session;
    const first = leaving.nextOffer();
    const deliveries = inflight.size + queue.length;
    return { subscriptions: first, rest: subscriptions.size - first.length, deliveries, isDurable: session.isDurable };
  }

  /** Offers hundreds of thousands of subscriptions in slices. Behind a piece of long filters it waits until the new place has announced them. */
  async #offerRest(move: number, leaving: Leaving): Promise<void> {
    const pace = new Pace(OFFER_MS);
    for (let isLast = false; !isLast; ) {
      if (pace.isOver) await pace.next();
      const target = this.#mesh.links.get(leaving.to);
      if (this.#leaving.get(move) !== leaving || target === undefined) return;
      const subscriptions = leaving.nextOffer();
      isLast = leaving.isOffered;
      const { isLong } = leaving;
      target.control({ t: 'offer-part', move, subscriptions, isLast, waits: isLong && !isLast });
      if (isLong) return;
    }
  }

  /**
   * Takes a session in: installs and announces the offered subscriptions, and waits for the state.
   * @returns false when the old place ended before it sent the state
   */
  async take(move: number, session: Session, offer: SessionOffer, from: number): Promise<boolean> {
    const arriving = new Arriving(session, from);
    session.gate = arriving;
    // A message of a shared group that arrives ahead of the state must be on disk before its publisher's PUBACK.
    session.isDurable = offer.isDurable;
    // The true limit comes with the state. Until then a short move at full speed must not drop messages that the session has room for.
    session.maxQueued = ARRIVING_MAX;
    this.#arriving.set(move, arriving);
    const source = this.#mesh.links.get(from);
    if (source === undefined) arriving.resolve(null);
    this.#install(move, arriving, offer.subscriptions, offer.rest === 0);
    if (offer.rest > 0) source?.control({ t: 'offer-next', move });
    const state = await arriving.state;
    await arriving.announced;
    this.#arriving.delete(move);
    // The session may have been given up: removeAll() then closed its gate for good.
    if (session.gate === arriving) session.gate = null;
    if (state === null) {
      arriving.deliveries.clear();
      return false;
    }
    takeState(session, state, arriving.deliveries);
    return true;
  }

  #install(move: number, arriving: Arriving, subscriptions: readonly Subscription[], isLast: boolean): void {
    const { session, from } = arriving;
    // The move was given up.
    if (session.gate !== arriving) return;
    // Before the last piece every message goes to the old place, also a message of this worker's publishers.
    if (isLast) arriving.open.add(LOCAL);
    arriving.announced = this.#subscriptions.install(session, subscriptions, isLast ? { id: move, from } : null);
  }

  /** Gives the move up: take() returns false. */
  abandon(move: number): void {
    this.#arriving.get(move)?.resolve(null);
  }

  onAnnounced(move: number, target: PeerLink): void {
    const leaving = this.#leaving.get(move);
    if (leaving === undefined) return;
    leaving.closed.add(LOCAL);
    leaving.closed.add(target.id);
    this.#handOverWhenCut(move, leaving);
  }

  /** @returns false when the control is not about a move */
  onControl(peer: PeerLink, control: Control): boolean {
    if (control.t === 'cut') this.#onCut(control.move, peer);
    else if (control.t === 'state') this.#arriving.get(control.move)?.resolve(control.session);
    else if (control.t === 'state-part') {
      const { move, batch } = control;
      this.#arriving.get(move)?.take(decodeBatch(batch));
      // An abandoned move is answered too, so that the old place can finish it.
      peer.control({ t: 'state-next', move });
    } else if (control.t === 'state-next') {
      const leaving = this.#leaving.get(control.move);
      if (leaving !== undefined) this.#sendNext(control.move, leaving);
    } else if (control.t === 'offer-next') {
      const leaving = this.#leaving.get(control.move);
      if (leaving !== undefined) void this.#offerRest(control.move, leaving);
    } else if (control.t === 'offer-part') {
      const arriving = this.#arriving.get(control.move);
      if (arriving !== undefined) this.#install(control.move, arriving, control.subscriptions, control.isLast);
      if (control.waits) peer.control({ t: 'offer-next', move: control.move });
    } else return false;
    return true;
  }

  #onCut(move: number, peer: PeerLink): void {
    const leaving = this.#leaving.get(move);
    if (leaving === undefined) return;
    leaving.closed.add(peer.id);
    this.#handOverWhenCut(move, leaving);
  }

  onAcknowledged(move: number, peer: PeerLink): void {
    this.#arriving.get(move)?.open.add(peer.id);
  }

  /** Moves that have been announced. A peer that joins before the announcement gets it like any other peer. */
  movesUnderWay(): MoveNews[] {
    return [...this.#arriving].flatMap(([id, { from, isAnnounced }]) => (isAnnounced ? [{ id, from }] : []));
  }

  /** True while the session is on its way here. */
  isArriving(session: Session): boolean {
    return session.gate?.isArriving === true;
  }

  /** A peer that joins during a move has no clients yet; its first clients come after every thread knows the new place. */
  onPeerAdded(peer: PeerLink): void {
    for (const leaving of this.#leaving.values()) if (leaving.closed.has(LOCAL)) leaving.closed.add(peer.id);
    for (const arriving of this.#arriving.values()) if (arriving.isAnnounced) arriving.open.add(peer.id);
  }

  onPeerRemoved(peer: PeerLink): void {
    for (const [move, leaving] of [...this.#leaving]) {
      if (leaving.to === peer.id) {
        // The new place is gone: the session stays here until the session worker asks for it again.
        this.#leaving.delete(move);
        if (leaving.session.gate === leaving) leaving.session.gate = null;
      } else this.#handOverWhenCut(move, leaving);
    }
    for (const arriving of this.#arriving.values()) if (arriving.from === peer.id) arriving.resolve(null);
  }

  #handOverWhenCut(move: number, leaving: Leaving): void {
    if (leaving.isSending || !leaving.closed.has(LOCAL)) return;
    for (const id of this.#mesh.links.keys()) if (!leaving.closed.has(id)) return;
    if (!this.#mesh.links.has(leaving.to)) return;
    leaving.isSending = true;
    this.#sendNext(move, leaving);
  }

  /** Sends part by part, so that a session with many messages blocks neither thread. */
  #sendNext(move: number, leaving: Leaving): void {
    const target = this.#mesh.links.get(leaving.to);
    if (target === undefined) return;
    const batch = encodeBatch(leaving.rest(), PART_BYTES);
    leaving.sent += batch.count;
    if (batch.count > 0) target.control({ t: 'state-part', move, batch });
    // A shared group may have added a delivery in the last turn.
    if (!leaving.rest().next().done) return;
    this.#leaving.delete(move);
    target.control({ t: 'state', move, session: toWireHead(leaving.session) });
    const bytes = bytesOfSession(leaving.session, this.#mesh.links.size);
    this.#subscriptions.removeAll(leaving.session);
    leaving.onLeft(bytes);
  }
}

class Leaving implements SourceGate {
  readonly isArriving = false;
  readonly session: Session;
  readonly to: number;
  readonly onLeft: (bytes: number) => void;
  /** sources whose messages go to the new place */
  readonly closed = new Set<number>();
  isSending = false;
  /** number of deliveries sent so far; they cannot change, because no client holds the session */
  sent = 0;
  /** the length of the filters ended the last piece */
  isLong = false;
  readonly #subscriptions: Iterator<Subscription>;
  #offered = 0;
  #inflight: Delivery[] | null = null;

  constructor(session: Session, to: number, onLeft: (bytes: number) => void) {
    this.session = session;
    this.to = to;
    this.onLeft = onLeft;
    this.#subscriptions = session.subscriptions.values();
  }

  get isLeaving(): boolean {
    return this.closed.has(LOCAL);
  }

  accepts(source: number): boolean {
    return !this.closed.has(source);
  }

  /** The next piece of subscriptions; empty when all are offered. */
  nextOffer(): WireSubscription[] {
    const part: WireSubscription[] = [];
    let length = 0;
    while (part.length < OFFER_FILTERS && length < PIECE_LENGTH) {
      const next = this.#subscriptions.next();
      if (next.done === true) break;
      part.push(toWireSubscription(next.value));
      length += next.value.filter.length;
    }
    this.isLong = length >= PIECE_LENGTH;
    this.#offered += part.length;
    return part;
  }

  get isOffered(): boolean {
    return this.#offered >= this.session.subscriptions.size;
  }

  /** Deliveries that are not sent yet: first the deliveries in flight, then the queue, which a shared group may extend. */
  *rest(): IterableIterator<Delivery> {
    const { inflight, queue } = this.session;
    this.#inflight ??= inflight.inOrder();
    for (let at = this.sent; at < this.#inflight.length; at++) yield this.#inflight[at]!;
    for (let at = Math.max(0, this.sent - this.#inflight.length); at < queue.length; at++) yield queue.at(at)!;
  }
}

class Arriving implements SourceGate {
  readonly isArriving = true;
  readonly isLeaving = false;
  readonly session: Session;
  readonly from: number;
  /** sources whose messages come here */
  readonly open = new Set<number>();
  readonly state: Promise<WireSession | null>;
  /** deliveries that came before the state */
  readonly deliveries = new Deliveries();
  /** resolves when every peer knows the subscriptions that are installed */
  announced: Promise<void> = Promise.resolve();
  resolve!: (state: WireSession | null) => void;

  constructor(session: Session, from: number) {
    this.session = session;
    this.from = from;
    this.state = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  /** All subscriptions are installed, and the peers are learning of the move. */
  get isAnnounced(): boolean {
    return this.open.has(LOCAL);
  }

  accepts(source: number): boolean {
    return this.open.has(source);
  }

  take(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.deliveries.add(delivery);
  }
}
