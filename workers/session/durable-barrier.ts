/** What waits until the session worker has stored something: acknowledgements to publishers, and SUBACKs of durable sessions. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { DurableOp } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Session } from './session.ts';

/** What became of a message: `refused`: it was routed, but is not retained. */
export type StoreOutcome = 'stored' | 'refused';

/** Changes that are kept while there is no session worker; bounded. */
const MISSED_MAX = 100_000;

export class DurableBarrier {
  readonly #mesh: Mesh;
  readonly #waiting = new Fifo<{ serial: number; done: (outcome: StoreOutcome) => void }>();
  /** serials of retained messages that found no room; each goes when its record is told to be stored */
  readonly #refused = new Set<number>();
  /** in the order in which they were made */
  readonly #requests = new Map<number, { resolve: () => void; isAnswered: boolean }>();
  /** what a new session worker has been told of each session and has not confirmed */
  readonly #retelling = new Set<number>();
  #missed: { namespace: string; clientId: string; op: DurableOp }[] = [];
  #lastRequest = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Calls `done` when the session worker, or the one that replaces it, has stored every record up to `serial`. Bounded by the
   * clients' receive windows.
   */
  wait(serial: number, done: (outcome: StoreOutcome) => void): void {
    this.#waiting.push({ serial, done });
  }

  /** The retained message of this serial found no room. */
  onRefused(serial: number): void {
    this.#refused.add(serial);
  }

  onStored(serial: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.serial <= serial; next = this.#waiting.peek()) {
      this.#waiting.shift();
      next.done(this.#refused.delete(next.serial) ? 'refused' : 'stored');
    }
    // Those of wills, for which nobody waits.
    for (const refused of this.#refused) if (refused <= serial) this.#refused.delete(refused);
  }

  /** Passes a change of a durable session on to be kept; behind everything published before. */
  tell(session: Session, op: DurableOp): void {
    const { clientId } = session;
    const namespace = session.namespace.name;
    const link = this.#mesh.sessionLink;
    if (link !== null) link.control({ t: 'durable', namespace, clientId, op, request: 0 });
    // All else is in the state of the session that the next session worker is told.
    else if ((op.op === 'settled' || op.op === 'end') && this.#missed.length < MISSED_MAX) this.#missed.push({ namespace, clientId, op });
  }

  /**
   * As tell(); resolves when a session worker has it and, for filters, every peer knows that messages for it are to be kept. Not
   * before what an earlier session worker left unanswered: what a client is sent behind these promises keeps its order.
   */
  request(session: Session, op: DurableOp): Promise<void> {
    const request = ++this.#lastRequest;
    return new Promise<void>((resolve) => {
      this.#requests.set(request, { resolve, isAnswered: false });
      this.#ask(this.#mesh.sessionLink, session, op, request);
    });
  }

  #ask(link: PeerLink | null, session: Session, op: DurableOp, request: number): void {
    link?.control({ t: 'durable', namespace: session.namespace.name, clientId: session.clientId, op, request });
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
    for (const open of this.#requests.values()) open.isAnswered = true;
    this.#retelling.clear();
    for (const session of sessions) {
      if (!session.isDurable || session.gate !== null) continue;
      this.#retelling.add(++this.#lastRequest);
      this.#ask(link, session, { op: 'again', session: session.toWire() }, this.#lastRequest);
    }
    const missed = this.#missed;
    this.#missed = [];
    for (const change of missed) link.control({ t: 'durable', ...change, request: 0 });
    if (this.#retelling.size === 0) this.#settle(this.#requests.keys());
  }
}
