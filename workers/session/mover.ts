/** Moves a session between two workers so that no message is lost, repeated or reordered, while messages for it keep arriving (docs/internals.md, Moves). */

import type { Control, MoveNews, WireSession } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { Delivery } from './flight/delivery.ts';
import { decodeBatch, encodeBatch } from './flight/delivery-batch.ts';
import type { SourceGate } from './outlet.ts';
import { type Session, toWireSubscription } from './session.ts';
import type { Subscriptions } from './subscriptions.ts';

/** This worker's own publishers, as a source. */
const LOCAL = 0;

/** Of the deliveries of a session, those that go at once. */
const PART_BYTES = 64 * 1024;

/** Messages that may wait for the state of a session that moves here; the largest `maxQueuedMessages`. */
const ARRIVING_MAX = 1_000_000;

/**
 * How it works. The old place B freezes the session and offers its filters; the new place A installs and announces them "with the
 * move". Each peer P, when it has taken that in, tells B "cut" behind everything it had sent there, and acknowledges to A. So B keeps
 * what comes before the cut, A takes what comes after the acknowledgement, and nothing is in between. With all cuts in, B sends the
 * state, and A puts its own queue behind it. Messages of shared groups are not gated: each was sent to one place only.
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

  /** Freezes a session that will move to the peer `to`. @returns its subscriptions, to be announced there; `done` when it has left */
  offer(move: number, session: Session, to: number, onLeft: () => void): ReturnType<typeof toWireSubscription>[] {
    // A move that got stuck is given up for the new one.
    for (const [other, { session: frozen }] of this.#leaving) if (frozen === session) this.#leaving.delete(other);
    const leaving = new Leaving(session, to, onLeft);
    session.gate = leaving;
    this.#leaving.set(move, leaving);
    return [...session.subscriptions.values()].map(toWireSubscription);
  }

  /**
   * Takes a session in: installs and announces the offered subscriptions and waits for the state.
   * @returns false when the old place ended before it had sent the state
   */
  async take(move: number, session: Session, offer: readonly Subscription[], from: number): Promise<boolean> {
    const arriving = new Arriving(from);
    session.gate = arriving;
    // The limit comes with the state; a short move at full speed must not drop what the session has room for.
    session.maxQueued = ARRIVING_MAX;
    this.#arriving.set(move, arriving);
    if (!this.#mesh.links.has(from)) arriving.resolve(null);
    const announced = this.#subscriptions.install(session, offer, { id: move, from });
    const state = await arriving.state;
    await announced;
    this.#arriving.delete(move);
    // It may have been given up meanwhile.
    if (session.gate === arriving) session.gate = null;
    if (state === null) return false;
    session.adopt(state, arriving.deliveries);
    return true;
  }

  /** The move will not be finished: take() answers false. */
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
      // Also where the move was given up: the old place ends it then.
      peer.control({ t: 'state-next', move });
    } else if (control.t === 'state-next') {
      const leaving = this.#leaving.get(control.move);
      if (leaving !== undefined) this.#sendNext(control.move, leaving);
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

  movesUnderWay(): MoveNews[] {
    return [...this.#arriving].map(([id, { from }]) => ({ id, from }));
  }

  /** True while the session is on its way here. */
  isArriving(session: Session): boolean {
    return session.gate instanceof Arriving;
  }

  /** A peer that joins during a move has no clients yet; by the time it has some, everybody knows the new place. */
  onPeerAdded(peer: PeerLink): void {
    for (const leaving of this.#leaving.values()) leaving.closed.add(peer.id);
    for (const arriving of this.#arriving.values()) arriving.open.add(peer.id);
  }

  onPeerRemoved(peer: PeerLink): void {
    for (const [move, leaving] of [...this.#leaving]) {
      if (leaving.to === peer.id) {
        // The new place is gone: the session stays here, until the session worker asks for it again.
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

  /** Part by part: neither thread is held for long by a session with very many messages. */
  #sendNext(move: number, leaving: Leaving): void {
    const target = this.#mesh.links.get(leaving.to);
    if (target === undefined) return;
    const batch = encodeBatch(leaving.rest(), PART_BYTES);
    leaving.sent += batch.count;
    if (batch.count > 0) target.control({ t: 'state-part', move, batch });
    // Shared groups may have chosen it meanwhile.
    if (!leaving.rest().next().done) return;
    this.#leaving.delete(move);
    target.control({ t: 'state', move, session: leaving.session.toWireHead() });
    this.#subscriptions.removeAll(leaving.session);
    leaving.onLeft();
  }
}

class Leaving implements SourceGate {
  readonly session: Session;
  readonly to: number;
  readonly onLeft: () => void;
  /** sources whose messages go to the new place */
  readonly closed = new Set<number>();
  isSending = false;
  /** deliveries that have gone; nothing that stands before them changes, because no client has the session */
  sent = 0;

  constructor(session: Session, to: number, onLeft: () => void) {
    this.session = session;
    this.to = to;
    this.onLeft = onLeft;
  }

  accepts(source: number): boolean {
    return !this.closed.has(source);
  }

  /** Deliveries that have not gone: in flight first, then the queue, to which a shared group may add. */
  *rest(): IterableIterator<Delivery> {
    const { inflight, queue } = this.session;
    if (this.sent < inflight.size) yield* [...inflight.inOrder()].slice(this.sent);
    for (let at = Math.max(0, this.sent - inflight.size); at < queue.length; at++) yield queue.at(at)!;
  }
}

class Arriving implements SourceGate {
  readonly from: number;
  /** sources whose messages come here; this worker's own from the start */
  readonly open = new Set<number>([LOCAL]);
  readonly state: Promise<WireSession | null>;
  /** that have come before the state */
  readonly deliveries: Delivery[] = [];
  resolve!: (state: WireSession | null) => void;

  constructor(from: number) {
    this.from = from;
    this.state = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  accepts(source: number): boolean {
    return this.open.has(source);
  }

  take(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.deliveries.push(delivery);
  }
}
