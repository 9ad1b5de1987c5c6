/** What waits until the session worker has stored something: acknowledgements to publishers, and SUBACKs of durable sessions. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { DurableOp } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Session } from './session.ts';

export class DurableBarrier {
  readonly #mesh: Mesh;
  readonly #waiting = new Fifo<{ serial: number; done: (isStored: boolean) => void }>();
  readonly #requests = new Map<number, () => void>();
  #lastRequest = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** Calls `done(true)` when the session worker has stored every record up to `serial`; `done(false)` when it ended before. Bounded by the clients' receive windows. */
  wait(serial: number, done: (isStored: boolean) => void): void {
    if (this.#mesh.sessionLink === null) done(false);
    else this.#waiting.push({ serial, done });
  }

  onStored(serial: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.serial <= serial; next = this.#waiting.peek()) {
      this.#waiting.shift();
      next.done(true);
    }
  }

  /** Passes a change of a durable session on to be kept; behind everything published before. */
  tell(session: Session, op: DurableOp): void {
    this.#mesh.sessionLink?.control({ t: 'durable', namespace: session.namespace.name, clientId: session.clientId, op, request: 0 });
  }

  /** As tell(); resolves when the session worker has it and, for filters, every peer knows that messages for it are to be kept. */
  async request(session: Session, op: DurableOp): Promise<void> {
    const link = this.#mesh.sessionLink;
    if (link === null) return;
    const request = ++this.#lastRequest;
    await new Promise<void>((resolve) => {
      this.#requests.set(request, resolve);
      link.control({ t: 'durable', namespace: session.namespace.name, clientId: session.clientId, op, request });
    });
  }

  onRequestDone(request: number): void {
    const resolve = this.#requests.get(request);
    this.#requests.delete(request);
    resolve?.();
  }

  /** The session worker is gone. */
  onLost(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.done(false);
    for (const request of [...this.#requests.keys()]) this.onRequestDone(request);
  }
}
