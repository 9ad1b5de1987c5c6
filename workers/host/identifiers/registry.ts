/** The node's authority on client identifiers: serialises claims, moves sessions, keeps quotas (docs/internals/peers.md, Client identifiers). */

import { steadyNow } from '../../../src/kernel/clock.ts';
import { type IdentifierTable, identifierGroup } from '../../../src/thread/identifier-table.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import { sessionKey } from '../../shared/session/session.ts';
import type { SessionTable } from '../../shared/table/session-table.ts';
import type { Claim, Control, Registration, SessionOffer } from '../../shared/wire/controls.ts';
import type { RegistryHooks } from './contract.ts';
import { EarlyClaims } from './early-claims.ts';
import { type ClaimStep, type IdentifierEntry, type LentEntry, newEntry, type Recall, type Step } from './entry.ts';
import { Fetches } from './fetches.ts';
import { HeldGroups } from './held-groups.ts';
import { MOVED_PER_MS, MOVES_PER_PEER, STEP_DEADLINE_MS, WAITING_MAX } from './limits.ts';
import { PersistentCounts } from './persistent-counts.ts';

export class Registry {
  readonly #entries = new Map<string, IdentifierEntry>();
  readonly #steps = new Map<number, IdentifierEntry>();
  readonly persistent = new PersistentCounts();
  readonly #mesh: Mesh;
  readonly #table: SessionTable;
  readonly #hooks: RegistryHooks;
  readonly #groups: HeldGroups<IdentifierEntry>;
  /** a later session worker never reuses a number: workers may still handle moves of this one */
  #lastMove: number;
  readonly #early = new EarlyClaims();
  readonly #fetches: Fetches;

  constructor(mesh: Mesh, table: SessionTable, identifiers: IdentifierTable, hooks: RegistryHooks) {
    this.#mesh = mesh;
    this.#groups = new HeldGroups(mesh, identifiers);
    this.#lastMove = mesh.self * MOVES_PER_PEER;
    this.#table = table;
    this.#hooks = hooks;
    this.#fetches = new Fetches(mesh, table, {
      newMove: (entry) => this.#newMove(entry),
      restored: (entry) => this.#restored(entry),
      done: (entry) => this.#done(entry),
      next: (entry) => this.#next(entry),
      onFetched: (session) => hooks.onFetched(session),
    });
  }

  /** True when the endpoint workers have registered their sessions. */
  get isComplete(): boolean {
    return this.#early.isOver;
  }

  find(namespace: string, clientId: string): Readonly<IdentifierEntry> | undefined {
    return this.#entries.get(sessionKey(namespace, clientId));
  }

  /** All identifiers that are known while the iterator runs. */
  all(): IterableIterator<Readonly<IdentifierEntry>> {
    return this.#entries.values();
  }

  /** @returns false when the control is not about client identifiers */
  onControl(link: PeerLink, control: Control): boolean {
    switch (control.t) {
      case 'claim':
        (this.#hooks.cluster?.claim ?? this.decide)(control.claim, link);
        return true;
      case 'owned':
        this.#owned(control, link);
        return true;
      case 'gone':
        this.#gone(control);
        return true;
      case 'ended':
        this.#ended(control);
        return true;
      case 'register':
        for (const session of control.sessions) this.#register(session, link);
        this.#early.registered(link.id);
        this.#checkRegistered();
        return true;
      case 'revoked':
        for (const session of control.sessions) this.#register(session, link);
        this.#continueWith(this.#groups.known(control.group, link.id));
        return true;
      case 'released':
        this.#released(control.move, control.offer);
        return true;
      default:
        return this.#table.mover.onControl(link, control);
    }
  }

  /** Adds a session that this worker restored from disk at its start. */
  adoptOffline(namespace: string, clientId: string, endpoint: string, expirySeconds: number, stamp = 0): void {
    const entry = this.#entry(namespace, clientId);
    entry.owner = this.#mesh.self;
    entry.stamp = stamp;
    this.persistent.describe(entry, endpoint, expirySeconds);
  }

  /** Removes an ended session of this worker. */
  onOfflineEnded(namespace: string, clientId: string): void {
    const entry = this.#entries.get(sessionKey(namespace, clientId));
    if (entry?.owner === this.#mesh.self && entry.step === null) this.#drop(entry);
  }

  #entry(namespace: string, clientId: string): IdentifierEntry {
    const key = sessionKey(namespace, clientId);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const group = identifierGroup(namespace, clientId);
      this.#groups.enter(group);
      entry = newEntry(key, group, namespace, clientId);
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #checkRegistered(): void {
    const early = this.#early.take(this.#mesh.links.keys());
    if (early === null) return;
    for (const { claim, claimant } of early) this.decide(claim, claimant);
    this.#hooks.cluster?.complete();
  }

  /** Decides a claim among the workers of this node. */
  readonly decide = (claim: Claim, claimant: PeerLink): void => {
    if (!this.#early.isOver) {
      this.#early.add({ claim, claimant });
      return;
    }
    const entry = this.#entry(claim.namespace, claim.clientId);
    const { step } = entry;
    if (step?.kind === 'claim' && step.claim.connection === claim.connection) {
      this.#claimAgain(entry, step);
      return;
    }
    if (entry.waiting.length >= WAITING_MAX) {
      this.#deny(claim, claimant, 'busy');
      return;
    }
    entry.waiting.push({ claim, claimant });
    this.#next(entry);
  };

  #deny(claim: Claim, claimant: PeerLink, reason: 'quota' | 'busy' | 'foreign'): void {
    claimant.control({ t: 'deny', connection: claim.connection, reason });
    this.#hooks.cluster?.decided(claim);
  }

  /** See Recall. */
  recall(namespace: string, clientId: string, recall: Recall): void {
    const entry = this.#entries.get(sessionKey(namespace, clientId));
    entry?.waiting.push(recall);
    if (entry === undefined) recall.answer('none');
    else this.#next(entry);
  }

  /** The old place died before the session arrived: the claimant now asks for the session on disk. */
  #claimAgain(entry: IdentifierEntry, step: ClaimStep): void {
    if (step.stage !== 'move') return;
    this.#steps.delete(step.move);
    step.move = this.#newMove(entry);
    step.stage = 'release';
    this.#releaseOwner(entry, step);
  }

  /** The reports of endpoint workers about these groups have arrived: their identifiers continue. */
  #continueWith(waiting: Iterable<IdentifierEntry>): void {
    for (const entry of waiting) if (this.#entries.get(entry.key) === entry) this.#next(entry);
  }

  /** Starts the next step of an identifier, when none is under way. */
  #next(entry: IdentifierEntry): void {
    if (entry.step !== null || this.#groups.waits(entry.group, entry)) return;
    const next = entry.waiting.shift();
    if (next !== undefined && 'answer' in next) this.#fetches.recall(entry, next);
    else if (next !== undefined) this.#serve(entry, next.claim, next.claimant);
    else if (entry.owner === null) this.#drop(entry);
    else if (entry.isGone && entry.owner !== this.#mesh.self) this.#fetches.begin(entry, null);
  }

  #serve(entry: IdentifierEntry, claim: Claim, claimant: PeerLink): void {
    if (!this.#mesh.links.has(claimant.id)) {
      this.#hooks.cluster?.decided(claim);
      this.#next(entry);
      return;
    }
    if (claim.expirySeconds > 0 && this.persistent.isOver(entry, claim.endpoint, claim.maxSessions)) {
      this.#deny(claim, claimant, 'quota');
      this.#next(entry);
      return;
    }
    const move = this.#newMove(entry);
    const before = { endpoint: entry.endpoint, expirySeconds: entry.expirySeconds };
    const step: Step = { kind: 'claim', claim, claimant, move, stage: 'release', since: steadyNow(), before };
    entry.step = step;
    // The place is taken now. Otherwise parallel claims could exceed the quota together.
    this.persistent.describe(entry, claim.endpoint, claim.expirySeconds);
    this.#releaseOwner(entry, step);
  }

  #newMove(entry: IdentifierEntry): number {
    const move = ++this.#lastMove;
    this.#steps.set(move, entry);
    return move;
  }

  #releaseOwner(entry: IdentifierEntry, step: ClaimStep): void {
    const { claim, claimant, move } = step;
    if (entry.owner === null) this.#grant(entry, 'new');
    else if (entry.owner === this.#mesh.self) {
      const offer = this.#table.release(entry.namespace, entry.clientId, move, claimant.id, claim.cleanStart, claim);
      this.#released(move, offer);
    } else {
      const { namespace, clientId } = entry;
      const owner = this.#mesh.links.get(entry.owner);
      if (owner === undefined) {
        entry.owner = this.#restored(entry);
        this.#releaseOwner(entry, step);
      } else
        owner.control({ t: 'release', namespace, clientId, move, to: claimant.id, discard: claim.cleanStart, by: { user: claim.user } });
    }
  }

  #released(move: number, offer: SessionOffer | null | 'foreign'): void {
    const entry = this.#steps.get(move);
    const step = entry?.step;
    if (entry === undefined || !step || step.kind === 'lend' || step.move !== move) return;
    if (offer !== null && offer !== 'foreign') step.since += (offer.rest + offer.deliveries) / MOVED_PER_MS;
    if (step.kind === 'fetch') this.#fetches.released(entry, step, offer);
    else if (offer === null) this.#grant(entry, 'new');
    else if (offer === 'foreign') this.#refuse(entry, step);
    else if (entry.owner === step.claimant.id) this.#grant(entry, 'local');
    else {
      step.stage = 'move';
      const { connection, stamp = 0 } = step.claim;
      step.claimant.control({ t: 'grant-move', connection, move, from: entry.owner!, offer, namespace: entry.namespace, stamp });
    }
  }

  /** The session belongs to another user and stays untouched. */
  #refuse(entry: IdentifierEntry, { claim, claimant, before }: ClaimStep): void {
    this.persistent.describe(entry, before.endpoint, before.expirySeconds);
    this.#deny(claim, claimant, 'foreign');
    this.#done(entry);
  }

  /** A session that is new, or already at the claimant, belongs to the claimant with the grant: later messages on the channel rely on that. */
  #grant(entry: IdentifierEntry, how: 'new' | 'local'): void {
    const { claim, claimant } = entry.step as ClaimStep;
    claimant.control({ t: 'grant', connection: claim.connection, how, stamp: claim.stamp ?? 0 });
    this.#own(entry, claim.connection, claimant);
  }

  /** The session has arrived at the claimant. */
  #owned(control: Extract<Control, { t: 'owned' }>, link: PeerLink): void {
    const entry = this.#entries.get(sessionKey(control.namespace, control.clientId));
    if (entry === undefined || entry.step?.kind !== 'claim' || entry.step.claim.connection !== control.connection) return;
    this.#own(entry, control.connection, link);
  }

  #own(entry: IdentifierEntry, connection: number, owner: PeerLink): void {
    entry.owner = owner.id;
    entry.connection = connection;
    entry.isGone = false;
    const { step } = entry;
    if (step?.kind === 'claim') {
      entry.stamp = step.claim.stamp ?? 0;
      this.#hooks.cluster?.decided(step.claim);
    }
    this.#done(entry);
  }

  #done(entry: IdentifierEntry): void {
    if (entry.step !== null) this.#steps.delete(entry.step.move);
    entry.step = null;
    this.#next(entry);
  }

  #gone(control: Extract<Control, { t: 'gone' }>): void {
    const entry = this.#entries.get(sessionKey(control.namespace, control.clientId));
    if (entry === undefined || entry.connection !== control.connection) return;
    entry.isGone = true;
    if (entry.step === null) this.persistent.describe(entry, entry.endpoint, control.expirySeconds);
    else if (entry.step.kind === 'claim') entry.step.before.expirySeconds = control.expirySeconds;
    this.#next(entry);
  }

  #ended(control: Extract<Control, { t: 'ended' }>): void {
    const entry = this.#entries.get(sessionKey(control.namespace, control.clientId));
    // During a step the owner finds out by itself that the session has ended.
    if (entry === undefined || entry.connection !== control.connection || entry.step !== null) return;
    entry.owner = null;
    this.#next(entry);
  }

  #drop(entry: IdentifierEntry): void {
    this.persistent.describe(entry, entry.endpoint, 0);
    this.#entries.delete(entry.key);
    this.#groups.leave(entry.group);
  }

  /** Holds a session here while another node takes it. @returns null when the session is elsewhere, or busy */
  lend(namespace: string, clientId: string): LentEntry | null {
    const entry = this.#entries.get(sessionKey(namespace, clientId));
    const session = this.#table.get(namespace, clientId);
    if (entry === undefined || entry.step !== null || entry.owner !== this.#mesh.self || session === undefined) return null;
    entry.step = { kind: 'lend', move: ++this.#lastMove };
    const over = (isTaken: boolean) => {
      if (isTaken) entry.owner = null;
      this.#done(entry);
    };
    return { session, over };
  }

  /** The owner of a session whose worker died: this worker, when the session is restored from disk; else none. */
  #restored(entry: IdentifierEntry): number | null {
    return this.#hooks.restore(entry.namespace, entry.clientId) ? this.#mesh.self : null;
  }

  #register(session: Registration, link: PeerLink): void {
    const entry = this.#entry(session.namespace, session.clientId);
    if (entry.owner === this.#mesh.self) {
      // The session was restored from disk although its client stayed connected: the worker's state is newer.
      const stale = this.#table.get(session.namespace, session.clientId);
      if (stale !== undefined) this.#table.forget(stale);
    }
    entry.owner = link.id;
    entry.connection = session.connection;
    entry.isGone = session.isParked;
    entry.stamp = session.stamp ?? 0;
    this.persistent.describe(entry, session.endpoint, session.expirySeconds);
    this.#next(entry);
  }

  /** Gives up steps over their deadline. Without that one lost answer would lock an identifier for ever. */
  sweep(): void {
    const oldest = steadyNow() - STEP_DEADLINE_MS;
    for (const entry of [...this.#steps.values()]) {
      const { step } = entry;
      if (step === null || step.kind === 'lend' || step.since > oldest) continue;
      this.#hooks.onStuck(entry.namespace, entry.clientId);
      if (step.kind === 'claim') this.#deny(step.claim, step.claimant, 'busy');
      else {
        this.#table.mover.abandon(step.move);
        step.recall?.answer('busy');
      }
      // Wherever the session is, its client is no longer connected: the next claim or fetch asks for the session again.
      entry.isGone = true;
      this.#done(entry);
    }
    for (const entry of this.#groups.stuck(oldest)) {
      if (entry.waiting.length > 0) this.#hooks.onStuck(entry.namespace, entry.clientId);
      for (const next of entry.waiting.splice(0)) {
        if ('answer' in next) next.answer('busy');
        else this.#deny(next.claim, next.claimant, 'busy');
      }
    }
  }

  onPeerAdded(link: PeerLink): void {
    this.#groups.onPeerAdded(link);
  }

  onPeerRemoved(link: PeerLink): void {
    this.#checkRegistered();
    for (const entry of [...this.#entries.values()]) {
      const { step } = entry;
      if (step?.kind === 'claim' && step.claimant.id === link.id) this.#claimantDied(entry, link);
      else if (entry.owner === link.id) this.#ownerDied(entry);
    }
    this.#continueWith(this.#groups.onPeerRemoved(link));
  }

  #claimantDied(entry: IdentifierEntry, link: PeerLink): void {
    if (entry.owner === link.id) entry.owner = this.#restored(entry);
    // Otherwise the old owner keeps the session without a client. If the owner is dead, too, a fetch restores the session from disk.
    entry.isGone = true;
    if (entry.step?.kind === 'claim') this.#hooks.cluster?.decided(entry.step.claim);
    this.#done(entry);
  }

  #ownerDied(entry: IdentifierEntry): void {
    const { step } = entry;
    // take() notices a dead holder, or has received everything before: the claimant answers with `owned` or with another claim.
    if (step?.kind === 'fetch' ? step.isTaking : step?.kind === 'claim' && step.stage === 'move') return;
    entry.owner = this.#restored(entry);
    if (step === null) this.#next(entry);
    else if (step.kind === 'claim') this.#releaseOwner(entry, step);
    else if (step.kind === 'fetch') {
      // The answer of a dead owner will never come.
      if (step.recall !== null) entry.waiting.unshift(step.recall);
      this.#steps.delete(step.move);
      entry.step = null;
      this.#next(entry);
    }
  }
}
