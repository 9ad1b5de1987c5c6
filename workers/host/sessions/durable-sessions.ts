/**
 * Keeps durable sessions on disk wherever their clients are connected: journals their messages, groups writes, and reports what is stored.
 */

import { Pace } from '../../../src/kernel/turns/pace.ts';
import { type Mesh, noNews } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Namespace } from '../../shared/routing/namespace.ts';
import { INTEREST } from '../../shared/routing/peer.ts';
import { deliveryKey, toWireDelivery } from '../../shared/session/flight/delivery.ts';
import { decodeBatch } from '../../shared/session/flight/delivery-batch.ts';
import { FILTERS_AT_ONCE, Removal } from '../../shared/session/removal.ts';
import { sessionKey, subscriptionKey } from '../../shared/session/session.ts';
import type { DurableOp, InterestNews, WireDelivery, WireSession, WireSubscription } from '../../shared/wire/controls.ts';
import { PIECE_LENGTH } from '../../shared/wire/piece.ts';
import type { SessionState } from '../disk/codec.ts';
import type { MessageDisk } from '../disk/message-disk.ts';
import { Journal } from './journal.ts';

/** Rows of ended sessions are deleted for this long in one loop iteration, with this pause before the next one (ms). */
const CLEAN_MS = 5;
const CLEAN_PAUSE_MS = 10;

export class DurableSessions {
  readonly #mesh: Mesh;
  readonly #disk: MessageDisk;
  readonly #onStored: () => void;
  readonly #journals = new Map<string, Journal>();
  readonly #removal = new Removal();
  #cleaning: NodeJS.Timeout | null = null;
  /** reports that are due after the next commit, in order of arrival */
  #records: { link: PeerLink; serial: number; isRefused: boolean }[] = [];
  #isScheduled = false;
  /** callbacks after the next successful commit; the windows of the durable sessions bound their number */
  #waiting: (() => void)[] = [];
  /** callbacks with the outcome of the next commit; the requests of the admin API bound their number */
  #asking: ((isStored: boolean) => void)[] = [];

  /** @param onStored called after each commit */
  constructor(mesh: Mesh, disk: MessageDisk, onStored: () => void = () => {}) {
    this.#onStored = onStored;
    this.#mesh = mesh;
    this.#disk = disk;
  }

  /** Flags of this worker's interest in a filter: QoS 1/2 only, and on disk when a durable session needs that. */
  static interest(namespace: Namespace, filter: string): number {
    for (const subscriber of namespace.subscribersOf(filter)) {
      if (subscriber instanceof Journal) return INTEREST.queued | INTEREST.durable;
    }
    return INTEREST.queued;
  }

  /** All sessions on disk; each is journalled from then on. */
  *restoreAll(): IterableIterator<WireSession> {
    for (const { namespace, client } of this.#disk.sessions()) {
      const session = this.#disk.load(namespace, client);
      if (session === null) continue;
      this.schedule();
      void this.#begin({ ...session, deliveries: [] }, true);
      this.#journals.get(sessionKey(namespace, client))!.restored = session.deliveries;
      yield session;
    }
    this.#cleanLater();
  }

  /** Null when the disk has no such session, or only a part of it, because the worker that announced it died. */
  load(namespace: string, clientId: string): WireSession | null {
    if (!this.#disk.isUnfinished(namespace, clientId)) return this.#disk.load(namespace, clientId);
    const journal = this.#journals.get(sessionKey(namespace, clientId));
    if (journal !== undefined) this.#end(journal);
    return null;
  }

  /** Ends all writing. */
  close(): void {
    if (this.#cleaning !== null) clearTimeout(this.#cleaning);
    this.flush();
  }

  /** Deletes the leftovers of ended sessions, in pieces that leave time for everything else. */
  #cleanLater(): void {
    if (this.#cleaning === null && this.#disk.hasLeftovers) this.#cleaning = setTimeout(() => this.#clean(), CLEAN_PAUSE_MS).unref();
  }

  #clean(): void {
    const pace = new Pace(CLEAN_MS);
    while (this.#disk.cleanSome() && !pace.isOver);
    this.schedule();
    this.#cleaning = null;
    this.#cleanLater();
  }

  /** Notes a record that was accepted or refused. Its sender gets the report after the commit that contains it. */
  onRecord(link: PeerLink, serial: number, isRefused = false): void {
    this.#records.push({ link, serial, isRefused });
    this.schedule();
  }

  /** Whether a durable session subscribes to the topic. */
  static isJournalled(namespace: Namespace, topic: string): boolean {
    return namespace.entry(topic).targets.some(({ subscriber }) => subscriber instanceof Journal);
  }

  /** Resolves when everything applied so far is on disk. */
  committed(): Promise<void> {
    this.schedule();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves at the next commit. @returns false when the refusable part of the commit was given up */
  outcome(): Promise<boolean> {
    this.schedule();
    return new Promise((resolve) => this.#asking.push(resolve));
  }

  /** Commits the work of this loop iteration as one group. */
  schedule(): void {
    this.#disk.endPart();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#isScheduled = false;
    const outcome = this.#disk.commit();
    const records = this.#records;
    this.#records = [];
    const stored = new Map<PeerLink, { serial: number; count: number }>();
    for (const { link, serial, isRefused } of records) {
      if (isRefused || outcome === 'failed') link.control({ t: 'unstored', serial });
      stored.set(link, { serial, count: (stored.get(link)?.count ?? 0) + 1 });
    }
    for (const [link, report] of stored) link.control({ t: 'stored', ...report });
    for (const resolve of this.#asking.splice(0)) resolve(outcome === 'stored');
    if (outcome !== 'stored') return;
    this.#onStored();
    this.written();
  }

  /** Settles the promises of committed(): everything applied so far is on disk. */
  written(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Whether the will of a change must still be published; false for a repeated change that was stored before. Call it before apply(). */
  owesWill(namespace: string, clientId: string, op: DurableOp): boolean {
    const journal = this.#journals.get(sessionKey(namespace, clientId));
    return journal !== undefined && (op.op === 'end' || journal.state.will !== null);
  }

  /** Applies a change. @returns a promise that every peer knows which filters are journalled; null: nothing to wait for */
  apply(namespace: string, clientId: string, op: DurableOp): Promise<void> | null {
    this.schedule();
    if (op.op === 'begin') return this.#begin(op.session);
    if (op.op === 'again') return this.#again(op.session);
    if (op.op === 'again-part') return this.#againPart(namespace, clientId, op);
    const journal = this.#journals.get(sessionKey(namespace, clientId));
    if (journal === undefined) return null;
    const disk = this.#disk;
    switch (op.op) {
      case 'resume':
        this.#keepState(journal, op.session);
        return null;
      case 'subscribe':
        journal.subscriptions.set(subscriptionKey(op.subscription), op.subscription);
        journal.told?.keys.add(subscriptionKey(op.subscription));
        disk.putSubscription(namespace, clientId, op.subscription);
        return this.#subscribe(journal, op.subscription);
      case 'unsubscribe':
        journal.subscriptions.delete(subscriptionKey(op));
        disk.deleteSubscription(namespace, clientId, subscriptionKey(op));
        if (op.group === null) this.#unsubscribe(journal, op.filter);
        return null;
      case 'put':
        journal.put(op.delivery);
        return null;
      case 'sent':
      case 'released': {
        const { packetId } = op;
        const isReleased = op.op === 'released';
        if (!disk.setPacketId(namespace, clientId, op, packetId, isReleased)) journal.setProgress(op, { packetId, isReleased });
        return null;
      }
      case 'settled':
        if (!disk.deleteDelivery(namespace, clientId, op)) journal.setProgress(op, 'settled');
        return null;
      case 'received':
        disk.putReceived(namespace, clientId, op.packetId);
        return null;
      case 'completed':
        disk.deleteReceived(namespace, clientId, op.packetId);
        return null;
      case 'expiry':
        journal.state.expirySeconds = op.expirySeconds;
        disk.putSession(journal.state);
        return null;
      case 'no-will':
      case 'will':
        journal.state = { ...journal.state, will: null };
        disk.putSession(journal.state);
        return null;
      case 'end':
        this.#end(journal);
        return null;
    }
  }

  /** Stores the state of a session, without its lists: its client went offline, or is connected again. */
  update(session: WireSession): void {
    const journal = this.#journals.get(sessionKey(session.namespace, session.clientId));
    if (journal === undefined) return;
    this.#keepState(journal, session);
    this.schedule();
  }

  #keepState(journal: Journal, session: WireSession): void {
    journal.state = toState(session);
    this.#disk.putSession(journal.state);
  }

  /** Brings the journal and the disk in line with the session. Unchanged subscriptions are not written again. */
  #keep(journal: Journal, session: WireSession): void {
    const { namespace, clientId } = session;
    this.#keepState(journal, session);
    const gone = new Set(journal.subscriptions.keys());
    for (const subscription of session.subscriptions) {
      const key = subscriptionKey(subscription);
      gone.delete(key);
      if (isSame(journal.subscriptions.get(key), subscription)) continue;
      journal.subscriptions.set(key, subscription);
      this.#disk.putSubscription(namespace, clientId, subscription);
    }
    for (const key of gone) {
      journal.subscriptions.delete(key);
      this.#disk.deleteSubscription(namespace, clientId, key);
    }
  }

  /** @param isOnDisk the session has just been read from disk */
  #begin(session: WireSession, isOnDisk = false): Promise<void> | null {
    const { namespace, clientId } = session;
    const known = this.#journals.get(sessionKey(namespace, clientId));
    if (known !== undefined)
      for (const { filter, group } of known.subscriptions.values()) if (group === null) this.#unsubscribe(known, filter);
    const journal = known ?? new Journal(this.#mesh.namespace(namespace), toState(session), this.#disk);
    this.#journals.set(journal.key, journal);
    if (isOnDisk) for (const subscription of session.subscriptions) journal.subscriptions.set(subscriptionKey(subscription), subscription);
    this.#keep(journal, session);
    for (const delivery of session.deliveries) this.#disk.putDelivery(namespace, clientId, delivery);
    for (const packetId of session.received) this.#disk.putReceived(namespace, clientId, packetId);
    const announced = session.subscriptions.map((subscription) => this.#subscribe(journal, subscription));
    return Promise.all(announced).then(() => undefined);
  }

  /** Brings the state from disk in line with the session's holder. Deliveries that came since this worker started stay. */
  #again(session: WireSession): Promise<void> | null {
    const { namespace, clientId } = session;
    const journal = this.#journals.get(sessionKey(namespace, clientId));
    if (journal === undefined) return this.#begin(session);
    const { told } = journal;
    journal.told = null;
    const open = told?.open ?? new Set(session.deliveries.map(({ message, group }) => deliveryKey(message, group)));
    const { restored } = journal;
    journal.restored = [];
    const forgotten = this.#forgetSettled(journal, restored, open);
    for (const { message, group, packetId, isReleased } of session.deliveries) {
      const { source, serial } = message;
      if (packetId > 0) this.#disk.setPacketId(namespace, clientId, { source, serial, group }, packetId, isReleased);
    }
    this.#disk.deleteAllReceived(namespace, clientId);
    this.#disk.finishSession(namespace, clientId);
    if (told === null) return all([forgotten, this.#begin(session)]);
    for (const [key, { filter, group }] of journal.subscriptions) {
      if (told.keys.has(key)) continue;
      journal.subscriptions.delete(key);
      this.#disk.deleteSubscription(namespace, clientId, key);
      if (group === null) this.#unsubscribe(journal, filter);
    }
    this.#keepState(journal, session);
    for (const packetId of session.received) this.#disk.putReceived(namespace, clientId, packetId);
    // This includes everything that the pieces have announced.
    return all([forgotten, this.#mesh.fence(this.#mesh.links.keys())]);
  }

  /** Removes, in slices, deliveries on disk that were settled before this worker could learn of it. */
  async #forgetSettled(journal: Journal, restored: readonly WireDelivery[], open: ReadonlySet<string>): Promise<void> {
    const pace = new Pace();
    for (const { message, group } of restored) {
      if (pace.isOver) await pace.next();
      if (open.has(deliveryKey(message, group))) continue;
      const { source, serial } = message;
      this.#disk.deleteDelivery(journal.namespace.name, journal.state.clientId, { source, serial, group });
      this.schedule();
    }
  }

  #againPart(namespace: string, clientId: string, part: Extract<DurableOp, { op: 'again-part' }>): null {
    const { begins, subscriptions, batch } = part;
    if (begins !== null && !this.#journals.has(sessionKey(namespace, clientId))) {
      this.#disk.beginSession(namespace, clientId);
      void this.#begin(begins);
    }
    const journal = this.#journals.get(sessionKey(namespace, clientId));
    if (journal === undefined) return null;
    if (begins !== null) journal.told = { keys: new Set(), open: new Set() };
    for (const subscription of subscriptions) {
      const key = subscriptionKey(subscription);
      journal.told?.keys.add(key);
      if (isSame(journal.subscriptions.get(key), subscription)) continue;
      journal.subscriptions.set(key, subscription);
      this.#disk.putSubscription(namespace, clientId, subscription);
      void this.#subscribe(journal, subscription);
    }
    for (const delivery of decodeBatch(batch)) {
      const { message, group, packetId, isReleased } = delivery;
      const { source, serial } = message;
      journal.told?.open.add(deliveryKey(message, group));
      if (packetId > 0) this.#disk.setPacketId(namespace, clientId, { source, serial, group }, packetId, isReleased);
      this.#disk.putDelivery(namespace, clientId, toWireDelivery(delivery));
    }
    return null;
  }

  #subscribe(journal: Journal, subscription: WireSubscription): Promise<void> | null {
    if (subscription.group !== null || subscription.qos === 0) {
      if (subscription.group === null) this.#unsubscribe(journal, subscription.filter);
      return null;
    }
    journal.namespace.subscribe(journal, subscription);
    return this.#mesh.announce(interestIn(journal.namespace, subscription.filter));
  }

  #unsubscribe(journal: Journal, filter: string): void {
    journal.namespace.unsubscribe(journal, filter);
    this.#mesh.tell(interestIn(journal.namespace, filter));
  }

  /**
   * Ends a session. The next commit stores the end; filters and most rows are removed in slices. A session of the same name may begin at
   * once.
   */
  #end(journal: Journal): void {
    journal.isEnded = true;
    this.#journals.delete(journal.key);
    this.#disk.deleteSession(journal.namespace.name, journal.state.clientId);
    this.#cleanLater();
    const { subscriptions } = journal;
    this.#removeSome(journal, FILTERS_AT_ONCE);
    if (subscriptions.size > 0)
      this.#removal.add({
        get left() {
          return subscriptions.size;
        },
        remove: (count) => this.#removeSome(journal, count),
      });
  }

  #removeSome(journal: Journal, count: number): number {
    const { namespace, subscriptions } = journal;
    const news = noNews(namespace.name);
    let left = count;
    let length = 0;
    for (const [key, { filter, group }] of subscriptions) {
      if (left-- === 0 || length >= PIECE_LENGTH) break;
      length += key.length;
      subscriptions.delete(key);
      if (group !== null) continue;
      namespace.unsubscribe(journal, filter);
      addInterest(news, namespace, filter);
    }
    this.#mesh.tell(news);
    return length;
  }
}

async function all(waits: readonly (Promise<void> | null)[]): Promise<void> {
  await Promise.all(waits);
}

/** The present interest in a filter, for the peers. */
function interestIn(namespace: Namespace, filter: string): InterestNews {
  const news = noNews(namespace.name);
  addInterest(news, namespace, filter);
  return news;
}

function addInterest(news: InterestNews, namespace: Namespace, filter: string): void {
  news.filters.push(filter);
  news.flags.push(namespace.hasSubscribers(filter) ? DurableSessions.interest(namespace, filter) : 0);
}

function isSame(known: WireSubscription | undefined, subscription: WireSubscription): boolean {
  return (
    known !== undefined &&
    known.qos === subscription.qos &&
    known.noLocal === subscription.noLocal &&
    known.retainAsPublished === subscription.retainAsPublished &&
    known.retainHandling === subscription.retainHandling &&
    known.identifier === subscription.identifier
  );
}

function toState(session: WireSession): SessionState {
  const { subscriptions: _subscriptions, deliveries: _deliveries, received: _received, ...state } = session;
  return state;
}
