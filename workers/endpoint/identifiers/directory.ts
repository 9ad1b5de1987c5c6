/** Client identifiers in an endpoint worker: decides alone where it may, else claims at the session worker; hands over claimed sessions. */

import { Deadline } from '../../../src/kernel/deadline.ts';
import { type IdentifierTable, identifierGroup } from '../../../src/thread/identifier-table.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import { toWireWill } from '../../shared/session/pending-will.ts';
import type { Session } from '../../shared/session/session.ts';
import type { SessionTable } from '../../shared/table/session-table.ts';
import type { Claim, Control, Registration } from '../../shared/wire/controls.ts';
import { mayTake } from '../../shared/wire/holder.ts';
import { OwnGroups } from './own-groups.ts';

export type ClaimAnswer = { ok: true; session: Session; isPresent: boolean } | { ok: false; reason: 'quota' | 'busy' | 'foreign' };

interface PendingClaim {
  claim: Claim;
  group: number;
  then: (answer: ClaimAnswer) => void;
  /** the session is on its way here by this move; `done` settles when it has arrived, or never will */
  taking: { move: number; done: Promise<void> } | null;
}

/** Longest time that a blocked peer delays the publication of a will, ms. */
const FENCE_MS = 3_000;

/** Connection numbers are unique over all peers: the peer's id, then a count. */
const CONNECTIONS_PER_PEER = 2 ** 32;

export class Directory {
  readonly #mesh: Mesh;
  readonly #table: SessionTable;
  readonly #claims = new Map<number, PendingClaim>();
  readonly #own: OwnGroups;
  readonly #isAlone: boolean;
  #lastConnection = 0;

  /** @param isAlone no other node can know an identifier */
  constructor(mesh: Mesh, table: SessionTable, identifiers: IdentifierTable, isAlone = true) {
    this.#isAlone = isAlone;
    this.#mesh = mesh;
    this.#table = table;
    this.#own = new OwnGroups(identifiers, mesh.self);
  }

  /** Claims name the will, for the node that keeps it. */
  get tellsWills(): boolean {
    return !this.#isAlone;
  }

  nextConnection(): number {
    return this.#mesh.self * CONNECTIONS_PER_PEER + ++this.#lastConnection;
  }

  /**
   * Claims a client identifier. Afterwards no other connection has it. The caller gives up by its own deadline.
   * @param then called synchronously with the answer: the next message of the session worker may concern the session
   */
  claim(claim: Claim, then: (answer: ClaimAnswer) => void): void {
    const group = identifierGroup(claim.namespace, claim.clientId);
    // The session worker decides about every session that outlives its connection, and about each claim that may meet one.
    const session = this.#isAlone && claim.expirySeconds === 0 ? this.#decide(claim, group) : null;
    if (session === null) this.#ask(claim, group, then);
    else if (session === 'foreign') then({ ok: false, reason: 'foreign' });
    else then({ ok: true, session, isPresent: false });
  }

  /** A new session, when no other thread can know the identifier; `foreign`: another user has it; null: the session worker decides. */
  #decide(claim: Claim, group: number): Session | 'foreign' | null {
    const { namespace, clientId } = claim;
    if (!this.#own.take(group)) return null;
    const held = this.#table.get(namespace, clientId);
    if (held !== undefined) {
      if (!claim.cleanStart && !mayTake(held.holder, claim.user)) return 'foreign';
      // The client that has the identifier here is taken over, and its session ends. Another thread may hold the group afterwards.
      this.#table.release(namespace, clientId, 0, this.#mesh.self, true, claim);
      if (!this.#own.take(group)) return null;
    }
    const session = this.#table.create(this.#mesh.namespace(namespace), clientId);
    session.connection = claim.connection;
    this.#own.add(session, group);
    return session;
  }

  #ask(claim: Claim, group: number, then: (answer: ClaimAnswer) => void): void {
    this.#claims.set(claim.connection, { claim, group, then, taking: null });
    // Input behind the question must not be decided before the question.
    const sessions = this.#own.handOver(group).map((session) => this.#registration(session));
    if (sessions.length > 0) this.#mesh.sessionLink?.control({ t: 'register', sessions });
    this.#mesh.sessionLink?.control({ t: 'claim', claim });
  }

  #answer(connection: number, pending: PendingClaim, answer: ClaimAnswer): void {
    this.#claims.delete(connection);
    this.#own.answered(pending.group);
    pending.then(answer);
  }

  /** The client has gone; `session` stays here until the session worker fetches it. */
  parked(session: Session): void {
    // The session worker publishes the will, which must not overtake the client's own publishes.
    const isWillDue = session.isDurable && session.will?.delayMs === 0;
    const known = isWillDue ? this.#mesh.fence(this.#mesh.links.keys()) : null;
    if (known === null) {
      this.#gone(session);
      return;
    }
    const { connection } = session;
    void new Deadline(FENCE_MS).reaches(known).then(() => {
      if (session.connection === connection && session.outlet === null) this.#gone(session);
    });
  }

  #gone({ connection, clientId, expirySeconds, namespace, will }: Session): void {
    const hasWill = will !== null;
    this.#mesh.sessionLink?.control({ t: 'gone', connection, namespace: namespace.name, clientId, expirySeconds, hasWill });
  }

  ended(session: Session): void {
    if (this.#own.remove(session)) return;
    this.#mesh.sessionLink?.control({
      t: 'ended',
      connection: session.connection,
      namespace: session.namespace.name,
      clientId: session.clientId,
    });
  }

  /** A new session worker knows nothing: registers the sessions of this worker there, then repeats the open claims. */
  onSessionWorker(link: PeerLink): void {
    this.#own.handOverAll();
    // A leaving session belongs to its new holder. An arriving session is registered as if it had arrived.
    const sessions = [...this.#table.values()].filter((session) => session.gate === null).map((session) => this.#registration(session));
    for (const { claim, taking } of this.#claims.values()) if (taking !== null) sessions.push({ ...claim, isParked: false });
    link.control({ t: 'register', sessions });
    for (const { claim, taking } of this.#claims.values()) if (taking === null) link.control({ t: 'claim', claim });
  }

  /** @returns false when the control is not about client identifiers */
  onControl(link: PeerLink, control: Control): boolean {
    switch (control.t) {
      case 'grant':
        this.#granted(control.connection, control.how === 'local', control.stamp);
        return true;
      case 'grant-move': {
        const pending = this.#claims.get(control.connection);
        if (pending === undefined) return true;
        pending.claim.stamp = control.stamp;
        pending.taking = { move: control.move, done: this.#take(control, pending) };
        return true;
      }
      case 'deny': {
        const pending = this.#claims.get(control.connection);
        if (pending?.taking) this.#table.mover.abandon(pending.taking.move);
        if (pending !== undefined) this.#answer(control.connection, pending, { ok: false, reason: control.reason });
        return true;
      }
      case 'revoke':
        link.control({
          t: 'revoked',
          group: control.group,
          sessions: this.#own.give(control.group).map((session) => this.#registration(session)),
        });
        return true;
      case 'release': {
        // The order of a new session worker concerns a session that is still on its way here.
        const taking = this.#takingOf(control.namespace, control.clientId);
        if (taking !== null) {
          void taking.then(() => this.onControl(link, control));
          return true;
        }
        const announcing = this.#table.get(control.namespace, control.clientId)?.announcing ?? null;
        if (announcing !== null && !control.discard) {
          // A new session worker begins with the sessions that are here.
          void announcing.done.then(() => this.#mesh.links.get(link.id) === link && this.onControl(link, control));
          return true;
        }
        const offer = this.#table.release(control.namespace, control.clientId, control.move, control.to, control.discard, control.by);
        link.control({ t: 'released', move: control.move, offer });
        return true;
      }
      case 'will-told': {
        const session = this.#table.get(control.namespace, control.clientId);
        if (session?.connection === control.connection) this.#table.willPublished(session);
        return true;
      }
      default:
        return this.#table.mover.onControl(link, control);
    }
  }

  #granted(connection: number, isLocal: boolean, stamp: number): void {
    const pending = this.#claims.get(connection);
    if (pending === undefined) return;
    const { claim } = pending;
    claim.stamp = stamp;
    const held = this.#table.get(claim.namespace, claim.clientId);
    if (held !== undefined && isLocal) this.#owned(connection, held, true);
    else {
      if (held !== undefined) this.#table.forget(held);
      this.#owned(connection, this.#table.create(this.#mesh.namespace(claim.namespace), claim.clientId), false);
    }
  }

  #takingOf(namespace: string, clientId: string): Promise<void> | null {
    const session = this.#table.get(namespace, clientId);
    if (session === undefined || !this.#table.mover.isArriving(session)) return null;
    for (const { claim, taking } of this.#claims.values()) {
      if (taking !== null && claim.clientId === clientId && claim.namespace === namespace) return taking.done;
    }
    return null;
  }

  async #take(grant: Extract<Control, { t: 'grant-move' }>, pending: PendingClaim): Promise<void> {
    const session = this.#table.create(this.#mesh.namespace(grant.namespace), pending.claim.clientId);
    const hasCome = await this.#table.mover.take(grant.move, session, grant.offer, grant.from);
    pending.taking = null;
    if (hasCome && this.#claims.has(grant.connection)) {
      this.#mesh.sessionLink?.control({ t: 'owned', connection: grant.connection, namespace: grant.namespace, clientId: session.clientId });
      this.#owned(grant.connection, session, true);
    } else if (hasCome) {
      // The claim was given up: the session is here without a client, so the session worker has to fetch it.
      session.connection = grant.connection;
      session.stamp = grant.stamp;
      this.#mesh.sessionLink?.control({ t: 'register', sessions: [this.#registration(session)] });
    } else {
      // The old place died: the session worker, the old or a new one, restores the session from disk.
      this.#table.forget(session);
      if (this.#claims.has(grant.connection)) this.#mesh.sessionLink?.control({ t: 'claim', claim: pending.claim });
    }
  }

  #owned(connection: number, session: Session, isPresent: boolean): void {
    const pending = this.#claims.get(connection)!;
    session.connection = connection;
    session.stamp = pending.claim.stamp ?? 0;
    this.#answer(connection, pending, { ok: true, session, isPresent });
  }

  #registration(session: Session): Registration {
    const { holder, will } = session;
    const held = this.#isAlone || will === null || holder === null ? {} : { held: { will: toWireWill(will), holder } };
    return {
      connection: session.connection,
      stamp: session.stamp,
      namespace: session.namespace.name,
      clientId: session.clientId,
      expirySeconds: session.expirySeconds,
      endpoint: session.endpoint,
      isDurable: session.isDurable,
      isParked: session.outlet === null,
      ...held,
    };
  }
}
