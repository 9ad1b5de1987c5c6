/** An endpoint worker's side of client identifiers: claims at the session worker, and hands over sessions that others claim. */

import type { Claim, Control, Registration } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { Session } from './session.ts';
import type { SessionTable } from './session-table.ts';

export type ClaimAnswer = { ok: true; session: Session; isPresent: boolean } | { ok: false; reason: 'quota' | 'busy' };

interface PendingClaim {
  claim: Claim;
  resolve: (answer: ClaimAnswer) => void;
  /** the move by which the session comes here */
  move?: number;
}

/** Connection numbers are unique over all peers: the peer's id and a count. */
const CONNECTIONS_PER_PEER = 2 ** 32;

export class Directory {
  readonly #mesh: Mesh;
  readonly #table: SessionTable;
  readonly #claims = new Map<number, PendingClaim>();
  #lastConnection = 0;

  constructor(mesh: Mesh, table: SessionTable) {
    this.#mesh = mesh;
    this.#table = table;
  }

  nextConnection(): number {
    return this.#mesh.self * CONNECTIONS_PER_PEER + ++this.#lastConnection;
  }

  /** Claims a client identifier: afterwards no other connection has it. The caller gives up by its own deadline. */
  claim(claim: Claim): Promise<ClaimAnswer> {
    return new Promise((resolve) => {
      this.#claims.set(claim.connection, { claim, resolve });
      this.#mesh.sessionLink?.control({ t: 'claim', claim });
    });
  }

  /** The client is gone; `session` stays here until the session worker fetches it. */
  parked(session: Session): void {
    const { connection, clientId, expirySeconds } = session;
    this.#mesh.sessionLink?.control({ t: 'gone', connection, namespace: session.namespace.name, clientId, expirySeconds });
  }

  ended(session: Session): void {
    this.#mesh.sessionLink?.control({
      t: 'ended',
      connection: session.connection,
      namespace: session.namespace.name,
      clientId: session.clientId,
    });
  }

  /** A new session worker knows nothing: tell it what is held here, then ask again what was asked of the old one. */
  onSessionWorker(link: PeerLink): void {
    link.control({ t: 'register', sessions: [...this.#table.values()].map(registration) });
    for (const { claim } of this.#claims.values()) link.control({ t: 'claim', claim });
  }

  /** @returns false when the control is not about client identifiers */
  onControl(link: PeerLink, control: Control): boolean {
    switch (control.t) {
      case 'grant':
        this.#granted(control.connection, control.how === 'local');
        return true;
      case 'grant-move':
        void this.#take(control);
        return true;
      case 'deny': {
        const pending = this.#claims.get(control.connection);
        this.#claims.delete(control.connection);
        if (pending?.move !== undefined) this.#table.mover.abandon(pending.move);
        pending?.resolve({ ok: false, reason: control.reason });
        return true;
      }
      case 'release': {
        const offer = this.#table.release(control.namespace, control.clientId, control.move, control.to, control.discard);
        link.control({ t: 'released', move: control.move, offer });
        return true;
      }
      default:
        return this.#table.mover.onControl(link, control);
    }
  }

  #granted(connection: number, isLocal: boolean): void {
    const pending = this.#claims.get(connection);
    if (pending === undefined) return;
    const { claim } = pending;
    const held = this.#table.get(claim.namespace, claim.clientId);
    if (held !== undefined && isLocal) this.#own(connection, held, true);
    else {
      if (held !== undefined) this.#table.forget(held);
      this.#own(connection, this.#table.create(this.#mesh.namespace(claim.namespace), claim.clientId), false);
    }
  }

  async #take(grant: Extract<Control, { t: 'grant-move' }>): Promise<void> {
    const pending = this.#claims.get(grant.connection);
    if (pending === undefined) return;
    pending.move = grant.move;
    const session = this.#table.create(this.#mesh.namespace(grant.namespace), pending.claim.clientId);
    const isHere = await this.#table.mover.take(grant.move, session, grant.offer, grant.from);
    if (isHere && this.#claims.has(grant.connection)) this.#own(grant.connection, session, true);
    else if (isHere) {
      // The claim was given up meanwhile: the session is here and nobody's, so the session worker is told to fetch it.
      session.connection = grant.connection;
      this.#mesh.sessionLink?.control({ t: 'register', sessions: [registration(session)] });
    }
    // Else the old place died: the session worker has seen it too and grants anew.
    else this.#table.forget(session);
  }

  #own(connection: number, session: Session, isPresent: boolean): void {
    const pending = this.#claims.get(connection)!;
    this.#claims.delete(connection);
    session.connection = connection;
    this.#mesh.sessionLink?.control({ t: 'owned', connection, namespace: session.namespace.name, clientId: session.clientId });
    pending.resolve({ ok: true, session, isPresent });
  }
}

function registration(session: Session): Registration {
  return {
    connection: session.connection,
    namespace: session.namespace.name,
    clientId: session.clientId,
    expirySeconds: session.expirySeconds,
    endpoint: session.endpoint,
    isDurable: session.isDurable,
    isParked: session.outlet === null,
  };
}
