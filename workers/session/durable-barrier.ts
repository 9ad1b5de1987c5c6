/** What waits until the session worker has stored something: acknowledgements to publishers, and SUBACKs of durable sessions. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { DurableOp } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Session } from './session.ts';

/** Changes that are kept while there is no session worker; bounded. */
const MISSED_MAX = 100_000;

export class DurableBarrier {
  readonly #mesh: Mesh;
  readonly #waiting = new Fifo<{ serial: number; done: (isStored: boolean) => void }>();
  readonly #requests = new Map<number, () => void>();
  #missed: { namespace: string; clientId: string; op: DurableOp }[] = [];
  #lastRequest = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Calls `done(true)` when the session worker, or the one that replaces it, has stored every record up to `serial`. Bounded by the
   * clients' receive windows.
   */
  wait(serial: number, done: (isStored: boolean) => void): void {
    this.#waiting.push({ serial, done });
  }

  onStored(serial: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.serial <= serial; next = this.#waiting.peek()) {
      this.#waiting.shift();
      next.done(true);
    }
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

  /** As tell(); resolves when a session worker has it and, for filters, every peer knows that messages for it are to be kept. */
  request(session: Session, op: DurableOp): Promise<void> {
    const request = ++this.#lastRequest;
    const link = this.#mesh.sessionLink;
    return new Promise<void>((resolve) => {
      this.#requests.set(request, resolve);
      link?.control({ t: 'durable', namespace: session.namespace.name, clientId: session.clientId, op, request });
    });
  }

  onRequestDone(request: number): void {
    const resolve = this.#requests.get(request);
    this.#requests.delete(request);
    resolve?.();
  }

  /** A new session worker: tells it the durable sessions as they are now, and answers what the old one was asked when it has them. */
  onSessionWorker(link: PeerLink, sessions: Iterable<Session>): void {
    const open = [...this.#requests.values()];
    this.#requests.clear();
    const told: Promise<void>[] = [];
    for (const session of sessions) {
      if (session.isDurable && session.gate === null) told.push(this.request(session, { op: 'again', session: session.toWire() }));
    }
    const missed = this.#missed;
    this.#missed = [];
    for (const change of missed) link.control({ t: 'durable', ...change, request: 0 });
    void Promise.all(told).then(() => {
      for (const resolve of open) resolve();
    });
  }
}
