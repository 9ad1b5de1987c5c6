/** The peers of this worker: their links, their interest, and how a peer joins and leaves. */

import type { MessagePort } from 'node:worker_threads';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import type { WorkerRole } from '../../../src/thread/commands.ts';
import { isForeign } from '../messages/message.ts';
import type { Namespace } from '../routing/namespace.ts';
import { INTEREST } from '../routing/peer.ts';
import type { Control, InterestNews, MoveNews } from '../wire/controls.ts';
import { Announcements } from './announcements.ts';
import { CatchUp } from './catch-up.ts';
import type { MeshForm, MeshHooks } from './contract.ts';
import { type LinkOwner, PeerLink, type RecordSinkOfPeer } from './peer-link.ts';
import { RelayAbsence } from './relay-absence.ts';
import { Repeats } from './repeats.ts';
import { interestPieces } from './snapshot.ts';

export type { MeshForm, MeshHooks } from './contract.ts';
export { noNews } from './snapshot.ts';

/** A peer that joins. */
interface Joining {
  /** this worker has sent its whole interest to the peer */
  isInformed: boolean;
  /** the peer's own interest has come */
  isKnown: boolean;
  /** the peer has applied this worker's interest */
  hasTaken: boolean;
  resolve: () => void;
}

/** Time in one loop iteration for sending this worker's interest to a peer that joins, or for forgetting a peer that has left (ms). */
const SLICE_MS = 5;
/** Filters between two readings of the clock. */
const CLOCK_FILTERS = 64;
/** Cuts that may wait for one peer that is about to join, within milliseconds. */
const OWED_CUTS_MAX = 10_000;

export class Mesh implements LinkOwner {
  readonly self: number;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #makeNamespace: (name: string) => Namespace;
  readonly links = new Map<number, PeerLink>();
  readonly repeats = new Repeats();
  /** the session worker's link; null in the session worker itself, and while no session worker runs */
  sessionLink: PeerLink | null = null;
  /** set once, before the first peer */
  hooks!: MeshHooks;
  /** the records that wait for the session worker */
  backlog: { readonly isFull: boolean } | null = null;
  readonly #announcements = new Announcements(this.links, (move, peer) => this.hooks.onMoveAcknowledged(move, peer));
  readonly #catchUp = new CatchUp();
  readonly #joining = new Map<number, Joining>();
  /** cuts for peers that have not joined yet: peer → moves whose old place that peer is */
  readonly #owedCuts = new Map<number, number[]>();
  /** see MeshForm */
  readonly interestFlags: (namespace: Namespace, filter: string) => number;
  readonly #form: MeshForm;
  /** null: the node has no relay, or this worker is the relay */
  readonly #relayAbsence: RelayAbsence | null;

  constructor(self: number, makeNamespace: (name: string) => Namespace, form: MeshForm = {}) {
    this.self = self;
    this.#makeNamespace = makeNamespace;
    this.#form = form;
    this.interestFlags = form.interestFlags ?? (() => INTEREST.live | INTEREST.queued);
    this.#relayAbsence = form.hasRelay === true ? new RelayAbsence(() => this.hooks.onRelay?.('missed')) : null;
  }

  namespace(name: string): Namespace {
    let namespace = this.#namespaces.get(name);
    if (namespace === undefined) {
      namespace = this.#makeNamespace(name);
      this.#namespaces.set(name, namespace);
    }
    return namespace;
  }

  namespaces(): Iterable<Namespace> {
    return this.#namespaces.values();
  }

  /**
   * Calls `then` when everything that the peers have posted so far is handled, whole frames included. A question may come ahead of older
   * controls, in its own frame and in frames of other peers: the worker answers only when these are handled.
   */
  whenDrained(then: () => void): void {
    this.#catchUp.wait(this.links.values(), then);
  }

  onWorked(): void {
    this.#catchUp.check();
  }

  get isOverloaded(): boolean {
    if (this.backlog?.isFull) return true;
    for (const link of this.links.values()) if (link.isKnown && link.isOverloaded) return true;
    return false;
  }

  /** Joins a peer; resolves when both know each other's interest. */
  addPeer(id: number, role: WorkerRole, port: MessagePort): Promise<void> {
    const link = new PeerLink(id, role, port, this, this.#form.batches);
    this.links.set(id, link);
    this.#relayAbsence?.arm();
    return new Promise((resolve) => {
      this.#joining.set(id, { isInformed: false, isKnown: false, hasTaken: false, resolve });
      this.hooks.onPeerAdded(link);
      for (const move of this.#owedCuts.get(id) ?? []) link.control({ t: 'cut', move });
      this.#owedCuts.delete(id);
      void this.#tellInterest(link);
    });
  }

  /** Works in slices, because a worker may have hundreds of thousands of filters. A change between two slices reaches the peer between them. */
  async #tellInterest(link: PeerLink): Promise<void> {
    const pace = new Pace(SLICE_MS);
    for (const { news, isLong } of this.#form.pieces?.() ?? interestPieces(this.#namespaces.values(), this.interestFlags)) {
      // Later news must follow this piece.
      this.#announcements.close();
      link.control({ t: 'interest', request: 0, news: [news], move: null });
      // A pause before the post instead would let newer news overtake the piece.
      if (isLong || pace.isOver) await pace.next();
      if (this.links.get(link.id) !== link) return;
    }
    this.#announcements.close();
    // The old place of a moving session waits for this peer's cut, too, if it knew the peer before the move began.
    link.control({ t: 'snapshot', moves: this.hooks.movesUnderWay() });
    // Questions to the session worker come only now: its answers may publish, and need the interest.
    if (link.role === 'session') this.sessionLink = link;
    this.hooks.onPeerInformed(link);
    const joining = this.#joining.get(link.id);
    if (joining === undefined) return;
    joining.isInformed = true;
    this.#join(link, joining);
  }

  /**
   * Removes a peer that has ended: sends it nothing more, handles its last messages in turns, and completes everything that waited for it.
   * @returns resolves when the peer is removed
   */
  removePeer(id: number): Promise<void> {
    this.#owedCuts.delete(id);
    const link = this.links.get(id);
    if (link === undefined) return Promise.resolve();
    // Main's report of the end may overtake the peer's last messages: a session, perhaps, or messages already acknowledged to their
    // publishers. The last orders of a session worker are void: its successor starts from the sessions that each worker holds.
    if (link.role === 'session') {
      this.#drop(link);
      return Promise.resolve();
    }
    if (link.role === 'relay') {
      link.isEnding = true;
      // The absence begins before any barrier that waits for the relay passes.
      this.#relayAbsence?.begin();
      this.#relayAbsence?.arm();
      this.hooks.onRelay?.('away');
    }
    this.#setKnown(link, false);
    // Publishers that waited until this peer had caught up continue.
    if (!this.isOverloaded) this.hooks.onRelieved();
    return new Promise((resolve) => {
      this.#catchUp.wait([link], () => {
        if (this.links.get(id) === link) this.#drop(link);
        resolve();
      });
    });
  }

  #drop(link: PeerLink): void {
    const { id } = link;
    this.links.delete(id);
    link.close();
    if (this.sessionLink === link) this.sessionLink = null;
    this.#setKnown(link, false);
    void this.#forget(link);
    this.#announcements.forget(link);
    const joining = this.#joining.get(id);
    this.#joining.delete(id);
    joining?.resolve();
    this.hooks.onPeerRemoved(link);
    if (!this.isOverloaded) this.hooks.onRelieved();
    // Callbacks that waited for its last posts run now.
    this.#catchUp.check();
  }

  /**
   * Announces interest to all peers. Resolves when each has applied it: every publish that is routed anywhere from then on comes here too.
   * News of one loop iteration go out together at the position of the first. They thus overtake later publishes, which is harmless.
   */
  announce(news: InterestNews): Promise<void> {
    if (this.links.size === 0) return this.#relayAbsence?.until ?? Promise.resolve();
    const taken = this.#announcements.announce(news);
    // The relay may have ended before it passed the news on: then its successor passes them on.
    return this.#relayAbsence === null ? taken : taken.then(() => this.#relayAbsence?.until ?? undefined);
  }

  /** Like announce(), for the filters of a session that moves here from the peer `from`. */
  announceMove(news: InterestNews, move: MoveNews): Promise<void> {
    if (this.links.size === 0) return Promise.resolve();
    this.#membersMove([news], move);
    return this.#announcements.announceMove(news, move);
  }

  /** Announces interest without waiting: retractions and changed member counts. */
  tell(news: InterestNews): void {
    if (this.links.size > 0 && news.filters.length + news.shares.length > 0) this.#announcements.tell(news);
  }

  /** Resolves when everything that these peers routed before the request has come here. Peers that have gone do not count. */
  fence(peers: Iterable<number>): Promise<void> | null {
    const links = [...new Set(peers)].flatMap((id) => this.links.get(id) ?? []);
    return links.length === 0 ? null : this.#announcements.fence(links);
  }

  onControl(link: PeerLink, control: Control): void {
    switch (control.t) {
      case 'snapshot': {
        for (const { id, from } of control.moves) this.#cut(id, from);
        link.control({ t: 'snapshot-ok' });
        const joining = this.#joining.get(link.id);
        if (joining === undefined) return;
        joining.isKnown = true;
        this.#join(link, joining);
        return;
      }
      case 'snapshot-ok': {
        const joining = this.#joining.get(link.id);
        if (joining === undefined) return;
        joining.hasTaken = true;
        this.#join(link, joining);
        return;
      }
      case 'interest': {
        for (const news of control.news) this.#apply(link, news);
        if (control.move !== null) {
          this.#membersMove(control.news, control.move);
          // Earlier publishes went to the old place; the cut marks their end in the same stream.
          if (control.move.from === this.self) this.hooks.onMoveAnnounced(control.move.id, link);
          else this.#cut(control.move.id, control.move.from);
        }
        this.#answer(link, control);
        return;
      }
      case 'linked':
        if (link.isEnding) return;
        this.#setKnown(link, true);
        this.#relayAbsence?.end();
        this.hooks.onRelay?.(link);
        return;
      case 'interest-ok':
        this.#announcements.answered(link, control.request);
        return;
      default:
        this.hooks.onControl(link, control);
    }
  }

  #answer(link: PeerLink, { request, news, move }: Extract<Control, { t: 'interest' }>): void {
    const spread = news.length > 0 ? (this.hooks.whenSpread?.(news) ?? null) : null;
    if (request === 0) return;
    const answer = () => link.control({ t: 'interest-ok', request });
    // The new place of a moving session must learn at once that this worker's messages go there. The other nodes know the filters already.
    if (spread === null || move !== null) answer();
    else void spread.then(() => this.links.get(link.id) === link && answer());
  }

  /** Sends a cut. Main connects pairs one by one, so the old place may wait for the cut of this worker before this worker knows the old place. */
  #cut(move: number, from: number): void {
    const link = this.links.get(from);
    if (link !== undefined) {
      link.control({ t: 'cut', move });
      return;
    }
    const owed = this.#owedCuts.get(from) ?? [];
    if (owed.length < OWED_CUTS_MAX) owed.push(move);
    this.#owedCuts.set(from, owed);
  }

  /** Messages are routed only to peers that are known. */
  #setKnown(link: PeerLink, isKnown: boolean): void {
    if (link.isKnown === isKnown) return;
    link.isKnown = isKnown;
    for (const namespace of this.#namespaces.values()) namespace.peersChanged();
  }

  /** Forgets the filters of a peer in slices, because there may be hundreds of thousands. */
  async #forget(link: PeerLink): Promise<void> {
    const pace = new Pace(SLICE_MS);
    for (const namespace of this.#namespaces.values()) {
      let filters = 0;
      for (const filter of namespace.forget(link)) {
        this.hooks.onForgotten?.(namespace, filter);
        if (++filters % CLOCK_FILTERS === 0 && pace.isOver) await pace.next();
      }
    }
  }

  #join(link: PeerLink, joining: Joining): void {
    // The session worker gets no message before it knows whose sessions are here.
    // The relay's interest is complete only when it is linked with the other nodes.
    if (joining.isKnown && !link.isKnown && link.role !== 'relay' && (joining.isInformed || link.role !== 'session')) {
      this.#setKnown(link, true);
      this.hooks.onPeerKnown(link);
    }
    if (!joining.isInformed || !joining.isKnown || !joining.hasTaken) return;
    this.#joining.delete(link.id);
    joining.resolve();
  }

  #apply(link: PeerLink, news: InterestNews): void {
    const namespace = this.namespace(news.namespace);
    const { filters, flags } = news;
    for (let i = 0; i < filters.length; i++) namespace.setInterest(link, filters[i]!, flags[i]!);
    for (const [filter, name, connected, away, durable] of news.shares) {
      const group = namespace.group(filter, name);
      group.setRemote(link, { connected, away, durable });
      namespace.dropGroupIfEmpty(group);
    }
  }

  /** A session takes its memberships of these groups along: routing no longer chooses its old place. */
  #membersMove(all: readonly InterestNews[], { from }: MoveNews): void {
    const peer = this.links.get(from);
    if (peer === undefined) return;
    for (const { namespace, shares } of all)
      for (const [filter, name] of shares) this.namespace(namespace).findGroup(filter, name)?.memberMoves(peer);
  }

  /** Sends everything left and closes all channels, because the worker ends. */
  close(): void {
    for (const link of this.links.values()) {
      link.flush();
      link.close();
    }
    this.links.clear();
    this.sessionLink = null;
  }

  onFlush(): void {
    this.#announcements.close();
  }

  onPublish: RecordSinkOfPeer['onPublish'] = (link, namespace, record) => {
    const { source, serial, qos } = record.message;
    // A repeat may need an answer all the same: the answer went to a relay that has ended.
    const isRepeat = link.role === 'relay' && qos > 0 && isForeign(record.message) && this.repeats.isRepeat(source, serial);
    if (!isRepeat) this.hooks.onPublish(link, namespace, record);
    else if (record.store) this.hooks.onRepeat?.(link, source, serial);
  };
  onRun: RecordSinkOfPeer['onRun'] = (link, namespace, run) => this.hooks.onRun(link, namespace, run);

  onRelieved(): void {
    if (!this.isOverloaded) this.hooks.onRelieved();
  }
}
