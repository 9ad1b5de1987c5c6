/**
 * Holds back confirmations until the session worker has stored the data: acknowledgements to publishers, and SUBACKs of durable sessions.
 */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import { toWireHead, toWireSession } from '../../shared/move/wire-session.ts';
import type { Confirmation } from '../../shared/routing/shared-confirmations.ts';
import { toWireDelivery } from '../../shared/session/flight/delivery.ts';
import type { Session } from '../../shared/session/session.ts';
import type { DurableOp } from '../../shared/wire/controls.ts';
import { announceAgain, needsPieces } from './announce-again.ts';

/** The fate of a message. `refused`: routed, but not retained; `unstored`: lost where it had to be stored. */
export type StoreOutcome = 'stored' | 'refused' | 'unstored';

/** Limit of changes that are kept while there is no session worker. */
const MISSED_MAX = 100_000;

interface Change {
  namespace: string;
  clientId: string;
  op: DurableOp;
}

export class DurableBarrier {
  readonly #mesh: Mesh;
  readonly #waiting = new Fifo<{ serial: number; done: (outcome: StoreOutcome) => void }>();
  /** serials of messages that were not stored; each is removed when its record is reported as stored */
  readonly #refused = new Map<number, StoreOutcome>();
  /** confirmations that a message needs beside `stored`; each is removed when it comes */
  readonly #delayed = new Map<number, Confirmation>();
  #lastSerial = 0;
  /** open requests, in the order in which they were made */
  readonly #requests = new Map<number, { resolve: () => void; isAnswered: boolean; again: Change | null }>();
  /** requests that describe sessions to a new session worker and are not confirmed yet */
  readonly #retelling = new Set<number>();
  #missed: Change[] = [];
  #lastRequest = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Calls `done` when the session worker, or its replacement, has stored every record up to `serial`. The clients' receive windows bound
   * the number of callbacks.
   */
  wait(serial: number, done: (outcome: StoreOutcome) => void): void {
    this.#lastSerial = serial;
    this.#waiting.push({ serial, done });
  }

  /** Calls `done` when every record with a waiting callback is stored; at once when no callback waits. */
  waitForAll(done: () => void): void {
    if (this.#waiting.length === 0) done();
    else this.#waiting.push({ serial: this.#lastSerial, done });
  }

  /** Notes that the message of this serial is not retained, or not stored. */
  onRefused(serial: number, outcome: 'refused' | 'unstored'): void {
    this.#refused.set(serial, outcome);
  }

  onStored(serial: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.serial <= serial; next = this.#waiting.peek()) {
      this.#waiting.shift();
      const outcome = this.#refused.get(next.serial) ?? 'stored';
      this.#refused.delete(next.serial);
      const { done } = next;
      const confirmation = this.#delayed.get(next.serial);
      if (confirmation === undefined) done(outcome);
      else confirmation.when((isStored) => done(isStored ? outcome : 'unstored'));
    }
    // These are the serials of wills, which have no callback.
    for (const refused of this.#refused.keys()) if (refused <= serial) this.#refused.delete(refused);
  }

  /** Sends a change of a durable session to the store, behind everything published before. */
  tell(session: Session, op: DurableOp): void {
    if (outlivesSession(op) && this.#requests.size < MISSED_MAX) {
      void this.request(session, op);
      return;
    }
    const { clientId } = session;
    const namespace = session.namespace.name;
    const link = this.#mesh.sessionLink;
    if (link !== null) link.control({ t: 'durable', namespace, clientId, op, request: 0 });
    // All other changes are part of the session's state, which the next session worker gets.
    else if (op.op === 'settled' && this.#missed.length < MISSED_MAX) this.#missed.push({ namespace, clientId, op });
  }

  /**
   * Like tell(). Resolves when a session worker has the change on disk and, for filters, every peer knows that messages for them must be
   * stored. Never resolves before the open requests of an earlier session worker: packets that a client gets after these promises keep
   * their order.
   */
  request(session: Session, op: DurableOp): Promise<void> {
    const request = ++this.#lastRequest;
    return new Promise<void>((resolve) => {
      const change = { namespace: session.namespace.name, clientId: session.clientId, op };
      this.#requests.set(request, { resolve, isAnswered: false, again: outlivesSession(op) ? change : null });
      this.#mesh.sessionLink?.control({ t: 'durable', ...change, request });
    });
  }

  /** Resolves when a session worker has everything sent to it so far on disk. */
  committed(): Promise<void> {
    const request = ++this.#lastRequest;
    return new Promise<void>((resolve) => {
      this.#requests.set(request, { resolve, isAnswered: false, again: null });
      this.#mesh.sessionLink?.control({ t: 'commit', request });
    });
  }

  /** Lets the acknowledgement of a message wait for a confirmation too: its shared group came back from the session worker. */
  delay(serial: number, confirmation: Confirmation): void {
    this.#delayed.set(serial, confirmation);
    confirmation.when(() => this.#delayed.delete(serial));
  }

  /** The session on disk is online again. Resolves as request(). */
  resume(session: Session): Promise<void> {
    return this.request(session, { op: 'resume', session: { ...toWireHead(session), disconnectedAt: 0 } });
  }

  /** The session becomes durable. Resolves as request(). A large one goes to the session worker in pieces, and is on disk with the last. */
  begin(session: Session): Promise<void> {
    if (needsPieces(session)) return this.#beginLarge(session);
    return this.request(session, { op: 'begin', session: { ...toWireSession(session), disconnectedAt: 0 } });
  }

  async #beginLarge(session: Session): Promise<void> {
    const told = new Set([...session.inflight.inOrder(), ...session.queue]);
    const request = ++this.#lastRequest;
    const link = this.#mesh.sessionLink;
    await new Promise<void>((resolve) => {
      this.#requests.set(request, { resolve, isAnswered: false, again: null });
      if (link !== null) void this.#tellLarge(link, new Map([[session, request]]));
    });
    if (session.isEnded || session.gate !== null) return;
    // These messages came by a filter before the filter was journalled.
    for (const delivery of session.queue) if (!told.has(delivery)) this.tell(session, { op: 'put', delivery: toWireDelivery(delivery) });
    await this.resume(session);
  }

  onRequestDone(request: number): void {
    const known = this.#requests.get(request);
    if (known !== undefined) known.isAnswered = true;
    const isToldAll = this.#retelling.delete(request) && this.#retelling.size === 0;
    if (isToldAll) this.#settle(this.#requests.keys());
    else if (this.#retelling.size === 0) this.#settle([request]);
  }

  #settle(requests: Iterable<number>): void {
    for (const request of [...requests]) {
      const known = this.#requests.get(request);
      if (known?.isAnswered !== true) continue;
      this.#requests.delete(request);
      known.resolve();
    }
  }

  /** Sends the durable sessions in their present state to a new session worker, and settles the open requests once it has stored them. */
  onSessionWorker(link: PeerLink, sessions: Iterable<Session>): void {
    this.#retelling.clear();
    // A present session may have the name of an ended session: the end must go first.
    for (const [request, open] of this.#requests) {
      open.isAnswered = open.again === null;
      if (open.again === null) continue;
      this.#retelling.add(request);
      link.control({ t: 'durable', ...open.again, request });
    }
    const large = new Map<Session, number>();
    for (const session of sessions) {
      if (!session.isDurable || session.gate !== null) continue;
      const request = ++this.#lastRequest;
      this.#retelling.add(request);
      if (needsPieces(session)) large.set(session, request);
      else tell(link, session, { op: 'again', session: toWireSession(session) }, request);
    }
    const missed = this.#missed;
    this.#missed = [];
    for (const change of missed) link.control({ t: 'durable', ...change, request: 0 });
    if (this.#retelling.size === 0) this.#settle(this.#requests.keys());
    if (large.size > 0) void this.#tellLarge(link, large);
  }

  /** @param sessions each with its request */
  #tellLarge(link: PeerLink, sessions: ReadonlyMap<Session, number>): Promise<void> {
    const requestOf = (session: Session) => sessions.get(session)!;
    return announceAgain(
      [...sessions.keys()],
      (session, op) => tell(link, session, op, op.op === 'again' ? requestOf(session) : 0),
      () => this.#mesh.sessionLink !== link,
      (session) => this.onRequestDone(requestOf(session)),
    );
  }
}

function tell(link: PeerLink, { namespace, clientId }: Session, op: DurableOp, request: number): void {
  link.control({ t: 'durable', namespace: namespace.name, clientId, op, request });
}

/** True for a change that no present session's state contains. It is repeated for each new session worker until it is on disk. */
function outlivesSession(op: DurableOp): boolean {
  return op.op === 'end' || op.op === 'will';
}
