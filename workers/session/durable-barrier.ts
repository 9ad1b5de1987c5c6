/** What waits until the session worker has stored something: acknowledgements to publishers, and SUBACKs of durable sessions. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { DurableOp } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Session } from './session.ts';

/** What became of a message: `refused`: it was routed, but is not retained; `unstored`: nobody keeps it who should. */
export type StoreOutcome = 'stored' | 'refused' | 'unstored';

/** Changes that are kept while there is no session worker; bounded. */
const MISSED_MAX = 100_000;

interface Change {
  namespace: string;
  clientId: string;
  op: DurableOp;
}

export class DurableBarrier {
  readonly #mesh: Mesh;
  readonly #waiting = new Fifo<{ serial: number; done: (outcome: StoreOutcome) => void }>();
  /** serials of messages that were not stored; each goes when its record is told to be stored */
  readonly #refused = new Map<number, StoreOutcome>();
  #lastSerial = 0;
  /** in the order in which they were made */
  readonly #requests = new Map<number, { resolve: () => void; isAnswered: boolean; again: Change | null }>();
  /** what a new session worker has been told of each session and has not confirmed */
  readonly #retelling = new Set<number>();
  #missed: Change[] = [];
  #lastRequest = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Calls `done` when the session worker, or the one that replaces it, has stored every record up to `serial`. Bounded by the
   * clients' receive windows.
   */
  wait(serial: number, done: (outcome: StoreOutcome) => void): void {
    this.#lastSerial = serial;
    this.#waiting.push({ serial, done });
  }

  /** Calls `done` when everything is stored that others wait for now; at once when nobody waits. */
  waitForAll(done: () => void): void {
    if (this.#waiting.length === 0) done();
    else this.#waiting.push({ serial: this.#lastSerial, done });
  }

  /** The message of this serial is not retained, or not stored. */
  onRefused(serial: number, outcome: 'refused' | 'unstored'): void {
    this.#refused.set(serial, outcome);
  }

  onStored(serial: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.serial <= serial; next = this.#waiting.peek()) {
      this.#waiting.shift();
      next.done(this.#refused.get(next.serial) ?? 'stored');
      this.#refused.delete(next.serial);
    }
    // Those of wills, for which nobody waits.
    for (const refused of this.#refused.keys()) if (refused <= serial) this.#refused.delete(refused);
  }

  /** Passes a change of a durable session on to be kept; behind everything published before. */
  tell(session: Session, op: DurableOp): void {
    if (outlivesSession(op) && this.#requests.size < MISSED_MAX) {
      void this.request(session, op);
      return;
    }
    const { clientId } = session;
    const namespace = session.namespace.name;
    const link = this.#mesh.sessionLink;
    if (link !== null) link.control({ t: 'durable', namespace, clientId, op, request: 0 });
    // All else is in the state of the session that the next session worker is told.
    else if (op.op === 'settled' && this.#missed.length < MISSED_MAX) this.#missed.push({ namespace, clientId, op });
  }

  /**
   * As tell(); resolves when a session worker has it on disk and, for filters, every peer knows that messages for it are to be kept. Not
   * before what an earlier session worker left unanswered: what a client is sent behind these promises keeps its order.
   */
  request(session: Session, op: DurableOp): Promise<void> {
    const request = ++this.#lastRequest;
    return new Promise<void>((resolve) => {
      const change = { namespace: session.namespace.name, clientId: session.clientId, op };
      this.#requests.set(request, { resolve, isAnswered: false, again: outlivesSession(op) ? change : null });
      this.#mesh.sessionLink?.control({ t: 'durable', ...change, request });
    });
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

  /** A new session worker: tells it the durable sessions as they are now, and answers what the old one was asked when it has them. */
  onSessionWorker(link: PeerLink, sessions: Iterable<Session>): void {
    this.#retelling.clear();
    // A session of now may have the name of one that has ended.
    for (const [request, open] of this.#requests) {
      open.isAnswered = open.again === null;
      if (open.again === null) continue;
      this.#retelling.add(request);
      link.control({ t: 'durable', ...open.again, request });
    }
    for (const session of sessions) {
      if (!session.isDurable || session.gate !== null) continue;
      const request = ++this.#lastRequest;
      this.#retelling.add(request);
      const { clientId } = session;
      link.control({ t: 'durable', namespace: session.namespace.name, clientId, op: { op: 'again', session: session.toWire() }, request });
    }
    const missed = this.#missed;
    this.#missed = [];
    for (const change of missed) link.control({ t: 'durable', ...change, request: 0 });
    if (this.#retelling.size === 0) this.#settle(this.#requests.keys());
  }
}

/** A change that is not in the state of any session that the next session worker is told: it is said again until it is on disk. */
function outlivesSession(op: DurableOp): boolean {
  return op.op === 'end' || op.op === 'will';
}
