/** The sessions of this worker, online or offline: creates, releases and ends them, and publishes their wills. */

import { steadyNow } from '../../../src/kernel/clock.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Message } from '../messages/message.ts';
import { Mover } from '../move/mover.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Router } from '../routing/router.ts';
import { type PendingWill, toWireWill, willMessage } from '../session/pending-will.ts';
import { NEVER_EXPIRES, Session, type SessionHost, sessionKey } from '../session/session.ts';
import { Subscriptions } from '../session/subscriptions.ts';
import type { Claimant, DueWill, SessionOffer } from '../wire/controls.ts';
import { mayTake } from '../wire/holder.ts';

export class SessionTable {
  readonly #sessions = new Map<string, Session>();
  readonly #mesh: Mesh;
  readonly #router: Router;
  readonly #host: SessionHost;
  readonly subscriptions: Subscriptions;
  readonly mover: Mover;

  constructor(mesh: Mesh, router: Router, host: SessionHost) {
    this.#mesh = mesh;
    this.#router = router;
    this.#host = host;
    this.subscriptions = new Subscriptions(mesh);
    this.mover = new Mover(mesh, this.subscriptions);
  }

  get(namespace: string, clientId: string): Session | undefined {
    return this.#sessions.get(sessionKey(namespace, clientId));
  }

  values(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  create(namespace: Namespace, clientId: string): Session {
    const session = new Session(namespace, clientId, this.#host, this.#router.reports);
    this.#sessions.set(session.key, session);
    return session;
  }

  /** Applies a changed limit of an endpoint to its sessions at once; messages that already wait stay. */
  setQueueLimit(endpoint: string, maxQueued: number): void {
    for (const session of this.#sessions.values()) if (session.endpoint === endpoint) session.maxQueued = maxQueued;
  }

  /** Removes a session that continues elsewhere, with its subscriptions here. */
  forget(session: Session): void {
    this.subscriptions.removeAll(session);
    if (this.#sessions.get(session.key) === session) this.#sessions.delete(session.key);
    session.clear();
  }

  /** Ends a session for good: its will is due now [MQTT-3.1.3-9], and its unacknowledged shared messages go to other members. */
  end(session: Session): void {
    if (session.isEnded) return;
    const { will } = session;
    session.will = null;
    const shared = session.end();
    this.forget(session);
    const now = steadyNow();
    for (const { group, message } of shared) {
      if (group === null) continue;
      if (message.isExpired(now)) {
        this.#router.reports.settled(message, group);
        this.#host.onDrop(session, 'expired', 1);
      } else this.#router.rerouteShared(session.namespace, group, message, null);
    }
    if (session.isDurable) this.#host.onDurable(session, { op: 'end', due: this.due(session, will) });
    else if (will !== null) this.#publishWill(session, will);
  }

  /** A will that the session worker publishes and removes from disk in one step; null without a will, or when the rules deny it. */
  due(session: Session, will: PendingWill | null): DueWill | null {
    if (will === null || !this.#host.mayPublishWill(session, will)) return null;
    return { will: toWireWill(will), endpoint: session.endpoint };
  }

  /** Publishes the will of a session, if it has one and the rules still allow it. */
  publishWill(session: Session): void {
    const { will } = session;
    session.will = null;
    if (will !== null) this.#publishWill(session, will);
  }

  #publishWill(session: Session, will: PendingWill): void {
    if (this.#host.mayPublishWill(session, will)) this.publish(session.namespace, willMessage(will, session.endpoint));
  }

  /** Another node has published the will. */
  willPublished(session: Session): void {
    if (session.will === null) return;
    session.will = null;
    session.outlet?.willPublished();
    if (session.isDurable) this.#host.onDurable(session, { op: 'no-will' });
  }

  publish(namespace: Namespace, message: Message): void {
    this.#router.route(namespace, namespace.entry(message.topic), message);
  }

  /**
   * Handles a session whose client left: ends the session, or publishes its will without a delay, or keeps the session until the session worker
   * fetches it. The will of a durable session moves along: the session worker publishes it and removes it from disk in one step.
   */
  afterDetach(session: Session): 'ended' | 'parked' {
    if (session.expirySeconds === 0) {
      this.end(session);
      return 'ended';
    }
    if (session.will?.delayMs === 0 && !session.isDurable) this.publishWill(session);
    this.subscriptions.presenceChanged(session);
    return 'parked';
  }

  /**
   * Releases a session for the peer `to`, as the session worker asks. A connected client gets DISCONNECT "session taken over".
   * @param by the claimant; null: the session worker itself
   * @returns the subscriptions to announce there; null when no session is left to release; `foreign` when the session belongs to another user,
   * and stays undisturbed
   */
  release(
    namespace: string,
    clientId: string,
    move: number,
    to: number,
    discard: boolean,
    by: Claimant | null,
  ): SessionOffer | null | 'foreign' {
    const session = this.get(namespace, clientId);
    if (session === undefined) return null;
    // The sweep may not have ended an expired session yet, especially right after a start.
    const ends = discard || (by !== null && hasExpired(session, steadyNow()));
    if (!ends && by !== null && !session.isEnded && !mayTake(session.holder, by.user)) return 'foreign';
    if (session.outlet !== null) session.outlet.takenOver();
    if (session.isEnded) return null;
    if (ends) {
      this.end(session);
      return null;
    }
    // The new connection brings its own will, so a will of the old connection without a delay is due now.
    if (by !== null && session.isDurable && session.will?.delayMs === 0) {
      const due = this.due(session, session.will);
      session.will = null;
      this.#host.onDurable(session, due === null ? { op: 'no-will' } : { op: 'will', due });
    }
    if (to === this.#mesh.self) return { subscriptions: [], rest: 0, deliveries: 0, isDurable: session.isDurable };
    return this.mover.offer(move, session, to, (bytes) => {
      this.#host.onMoved(bytes);
      if (this.#sessions.get(session.key) === session) this.#sessions.delete(session.key);
      session.clear();
    });
  }
}

/** Whether the session has been offline for longer than its Session Expiry Interval [MQTT-3.1.2-23]. @param now steady milliseconds */
export function hasExpired(session: Session, now: number): boolean {
  if (session.outlet !== null || session.disconnectedAt === 0 || session.expirySeconds === NEVER_EXPIRES) return false;
  return session.disconnectedAt + session.expirySeconds * 1000 <= now;
}
