/** Moves a session between two workers. Messages keep arriving, and none is lost, repeated or reordered (docs/internals.md, Moves). */

import type { Control, MoveNews, WireSession } from '../../mesh/controls.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { PeerLink } from '../../mesh/peer-link.ts';
import type { Subscription } from '../../routing/subscriber.ts';
import type { Delivery } from '../flight/delivery.ts';
import { decodeBatch, encodeBatch } from '../flight/delivery-batch.ts';
import type { SourceGate } from '../outlet.ts';
import { type Session, toWireSubscription } from '../session.ts';
import type { Subscriptions } from '../subscriptions.ts';

/** Source number of this worker's own publishers. */
const LOCAL = 0;

/** Bytes of a session's deliveries per part of a move. */
const PART_BYTES = 64 * 1024;

/** Messages that may wait while a session moves here; equal to the largest `maxQueuedMessages`. */
const ARRIVING_MAX = 1_000_000;

/**
 * The protocol. The old place B freezes the session and offers its filters. The new place A installs them and announces them with the move.
 * Each peer P that knows the announcement sends "cut" to B, behind everything it has sent there, and acknowledges to A. B therefore keeps
 * every message before the cut, A takes every message after the acknowledgement, and no message falls between the two. When all cuts are
 * in, B sends the state, and A appends its own queue. Messages of shared groups are not gated, because each goes to one place only.
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
   * @param onLeft called when it has left
   * @returns its subscriptions, to be announced there
   */
  offer(move: number, session: Session, to: number, onLeft: () => void): ReturnType<typeof toWireSubscription>[] {
    // The new move replaces one that is stuck.
    for (const [other, { session: frozen }] of this.#leaving) if (frozen === session) this.#leaving.delete(other);
    const leaving = new Leaving(session, to, onLeft);
    session.gate = leaving;
    this.#leaving.set(move, leaving);
    return [...session.subscriptions.values()].map(toWireSubscription);
  }

  /**
   * Takes a session in: installs and announces the offered subscriptions, and waits for the state.
   * @returns false when the old place ended before it sent the state
   */
  async take(move: number, session: Session, offer: readonly Subscription[], from: number): Promise<boolean> {
    const arriving = new Arriving(from);
    session.gate = arriving;
    // The true limit comes with the state. Until then a short move at full speed must not drop messages that the session has room for.
    session.maxQueued = ARRIVING_MAX;
    this.#arriving.set(move, arriving);
    if (!this.#mesh.links.has(from)) arriving.resolve(null);
    const announced = this.#subscriptions.install(session, offer, { id: move, from });
    const state = await arriving.state;
    await announced;
    this.#arriving.delete(move);
    // The session may have been given up: removeAll() then closed its gate for good.
    if (session.gate === arriving) session.gate = null;
    if (state === null) return false;
    session.adopt(state, arriving.deliveries);
    return true;
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

  /** A peer that joins during a move has no clients yet; its first clients come after every thread knows the new place. */
  onPeerAdded(peer: PeerLink): void {
    for (const leaving of this.#leaving.values()) leaving.closed.add(peer.id);
    for (const arriving of this.#arriving.values()) arriving.open.add(peer.id);
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
    // A shared group may have added a delivery since.
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
  /** deliveries sent so far; the ones before them cannot change, because no client holds the session */
  sent = 0;

  constructor(session: Session, to: number, onLeft: () => void) {
    this.session = session;
    this.to = to;
    this.onLeft = onLeft;
  }

  accepts(source: number): boolean {
    return !this.closed.has(source);
  }

  /** Deliveries that are not sent yet: the ones in flight first, then the queue, which a shared group may extend. */
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
  /** deliveries that came before the state */
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
