/** Sends the retained messages of new subscriptions, page by page, no faster than the client reads and acknowledges. */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import { Fifo } from '../../../../src/kernel/fifo.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { Message } from '../../../shared/messages/message.ts';
import type { Subscription } from '../../../shared/routing/subscriber.ts';
import { type Session, subscriptionKey } from '../../../shared/session/session.ts';
import type { Client } from '../../client/client.ts';
import { Reading } from '../../client/online/reading.ts';
import type { LocalPage, RetainedQuery, RetainedReader } from '../../retained/queries.ts';

/** Milliseconds per loop iteration that this thread spends on sending pages. */
const SLICE_MS = 5;

/** Feeds that can continue; each sends one page in its turn. */
const due = new Fifo<RetainedFeed>();
let isScheduled = false;

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(serve);
}

function serve(): void {
  isScheduled = false;
  const until = steadyNow() + SLICE_MS;
  for (let left = due.length; left > 0 && steadyNow() < until; left--) due.shift()!.takeTurn();
  if (due.length > 0) schedule();
}

/** A page and its position in the answer. */
interface Held {
  filterAt: number;
  at: number;
  page: LocalPage;
  /** no further page follows for the filter */
  isLast: boolean;
  /** epoch of the recent messages when the page arrived */
  epoch: number;
}

/** Sends the answer to one query. Each message is a copy for the session: RETAIN is 1 [MQTT-3.3.1-8], and the QoS is the lower of both. */
class RetainedFeed implements RetainedReader {
  readonly #client: Client;
  readonly #session: Session;
  readonly #subscriptions: readonly Subscription[];
  readonly #query: RetainedQuery;
  /** the page being sent */
  #held: Held | null = null;
  /** the filter of the present page, or of the last page */
  #filterAt = 0;
  /** finished messages of the page, and the topic of the last one */
  #sent = 0;
  #lastTopic = '';
  /** the page after the present one */
  #next: Held | null = null;
  /** a page is requested and has not arrived */
  #isAwaited = true;
  /** no further page follows: for the filter, and for any filter */
  #isFilterDone = false;
  #isAll = false;
  /** the first filter that may have unsent messages */
  #unsettledAt = 0;
  #isDue = false;

  /** @param subscriptions in the order of the query's filters */
  constructor(client: Client, session: Session, subscriptions: readonly Subscription[], query: RetainedQuery) {
    this.#client = client;
    this.#session = session;
    this.#subscriptions = subscriptions;
    this.#query = query;
  }

  onPage(filterAt: number, at: number, page: LocalPage | null, isLast: boolean): void {
    this.#isAwaited = false;
    this.#isFilterDone = isLast;
    if (page === null) this.#isAll = filterAt >= this.#subscriptions.length;
    else {
      const held = { filterAt, at, page, isLast, epoch: this.#query.recent.epoch };
      // Replaces an outdated page.
      if (this.#held?.filterAt === filterAt && this.#held.at === at) this.#replace(held);
      else if (this.#held === null) this.#hold(held);
      else this.#next = held;
    }
    this.wake();
  }

  onRestart(): void {
    if (this.#isAll) return;
    this.#held = this.#next = null;
    this.#isFilterDone = false;
    this.#isAwaited = true;
    this.#query.restart(this.#filterAt);
  }

  onLate(): void {
    this.#client.endpoint.count('retainedTimeout');
    this.#client.close(REASON.serverBusy, 'The retained messages could not be fetched in time');
  }

  #hold(held: Held): void {
    this.#held = held;
    this.#filterAt = held.filterAt;
    this.#sent = 0;
    this.#lastTopic = '';
  }

  #replace(held: Held): void {
    this.#held = held;
    this.#sent = this.#lastTopic === '' ? 0 : held.page.messages.findIndex(({ topic }) => topic === this.#lastTopic) + 1;
  }

  /** Queues a turn for a later loop iteration. */
  readonly wake = (): void => {
    if (this.#isDue || this.#query.isEnded) return;
    this.#isDue = true;
    due.push(this);
    schedule();
  };

  takeTurn(): void {
    this.#isDue = false;
    if (this.#query.isEnded) return;
    if (this.#held === null && this.#next !== null) {
      this.#hold(this.#next);
      this.#next = null;
    }
    if (this.#held === null) {
      if (this.#isAll) this.#finish();
      else if (this.#isFilterDone) this.#want(this.#filterAt + 1, 0, false);
      return;
    }
    if (!this.#isCurrent(this.#held)) {
      this.#held = null;
      if (this.#next === null && !this.#isAwaited && !this.#isAll) this.#want(this.#filterAt + 1, 0, false);
      else this.wake();
      return;
    }
    if (this.#held.epoch !== this.#query.recent.epoch) {
      if (!this.#isAwaited) this.#want(this.#held.filterAt, this.#held.at, true);
      return;
    }
    if (this.#client.sender.isBehind) {
      this.#client.reading?.whenWritable(this.wake);
      return;
    }
    if (!this.#send(this.#held)) {
      this.#session.whenRoom(this.wake);
      return;
    }
    this.#advance(this.#held);
    this.wake();
  }

  /** False when the subscription has been removed or replaced. */
  #isCurrent({ filterAt }: { filterAt: number }): boolean {
    const subscription = this.#subscriptions[filterAt]!;
    return this.#session.subscriptions.get(subscriptionKey(subscription)) === subscription;
  }

  /** Finishes a page. The page behind the next one is requested before it is needed. */
  #advance({ filterAt, at, isLast }: Held): void {
    // This comes before the last message leaves: the client may then leave at once, and its next connection must not repeat a message.
    if (isLast) this.#settle(filterAt + 1);
    const next = this.#next;
    this.#held = this.#next = null;
    if (next !== null) this.#hold(next);
    if (!this.#isAwaited && !this.#isFilterDone) this.#want(filterAt, (next?.at ?? at) + 1, false);
  }

  #want(filterAt: number, at: number, isFresh: boolean): void {
    this.#isAwaited = true;
    this.#isFilterDone = false;
    this.#query.want(filterAt, at, isFresh);
  }

  #finish(): void {
    this.#query.end();
    this.#client.reading?.remove(this.#query);
    this.#settle(this.#subscriptions.length);
  }

  /** Everything that matches the filters before this one is sent. */
  #settle(end: number): void {
    const { retainedDue } = this.#session;
    for (; this.#unsettledAt < end && retainedDue !== null; this.#unsettledAt++) {
      // A subscription that replaced this one has a query of its own.
      if (this.#isCurrent({ filterAt: this.#unsettledAt })) retainedDue.delete(subscriptionKey(this.#subscriptions[this.#unsettledAt]!));
    }
    if (retainedDue?.size === 0) this.#session.retainedDue = null;
  }

  /** False when the window is full and the rest of the page has to wait. */
  #send(held: Held): boolean {
    const client = this.#client;
    const { page } = held;
    const subscription = this.#subscriptions[held.filterAt]!;
    const isPlain = subscription.identifier === 0 && !subscription.noLocal && client.sender.takesRuns && !page.page.expires;
    if (this.#sent === 0 && isPlain && (subscription.qos === 0 || page.page.maxQos === 0) && this.#query.isUndisturbed) {
      client.sender.sendRun(page.runFor(client.version));
      return true;
    }
    const { messages } = page;
    const now = steadyNow();
    for (; this.#sent < messages.length; this.#sent++) {
      const stored = messages[this.#sent]!;
      const isQueued = subscription.qos > 0 && stored.qos > 0;
      if (isQueued && !this.#session.hasRoom) return false;
      this.#lastTopic = stored.topic;
      // A newer message on the topic has replaced this one.
      if (stored.isExpired(now) || this.#query.isOvertaken(stored)) continue;
      if (subscription.noLocal && stored.from === this.#session.key) continue;
      this.#sendOne(subscription, stored, isQueued);
    }
    return true;
  }

  #sendOne(subscription: Subscription, stored: Message, isQueued: boolean): void {
    const identifiers = subscription.identifier === 0 ? [] : [subscription.identifier];
    if (!isQueued) {
      this.#session.send(stored, 0, true, identifiers, null, true);
      return;
    }
    const { topic, payload, forward, expiresAt, from } = stored;
    const message = new Message(topic, payload, stored.qos, true, forward, expiresAt, from);
    this.#client.context.router.number(message);
    this.#session.send(message, message.qos < subscription.qos ? message.qos : subscription.qos, true, identifiers, null, true);
  }
}

/** Begins to record new messages for subscriptions that are made now. The query ends with the client. */
export function beginQuery(client: Client, session: Session, filters: readonly string[]): RetainedQuery {
  const query = client.context.retained.begin(session.namespace.name, filters);
  client.reading ??= new Reading();
  client.reading.add(query);
  return query;
}

/** Sends the retained messages of these subscriptions. @param subscriptions in the order of the query's filters */
export function sendRetained(client: Client, session: Session, subscriptions: readonly Subscription[], query: RetainedQuery): void {
  if (session.expirySeconds > 0) {
    // When the connection ends early, the next one sends the rest.
    const keys = subscriptions.filter(({ qos }) => qos > 0).map(subscriptionKey);
    if (keys.length > 0) session.retainedDue = new Set([...(session.retainedDue ?? []), ...keys]);
  }
  query.ask(new RetainedFeed(client, session, subscriptions, query));
}

/** Topic → payload of the newest unacknowledged delivery of a message that was published with RETAIN. */
function waitingRetained({ inflight, queue }: Session): Map<string, Uint8Array> {
  const newest = new Map<string, Uint8Array>();
  for (const { message } of [...inflight.inOrder(), ...queue]) if (message.retain) newest.set(message.topic, message.payload);
  return newest;
}

/** Asks again for the retained messages that an earlier connection of the session did not get. */
export function resumeRetained(client: Client, session: Session): void {
  const keys = session.retainedDue;
  if (keys === null) return;
  session.retainedDue = null;
  const subscriptions = [...keys].flatMap((key) => session.subscriptions.get(key) ?? []);
  if (subscriptions.length === 0) return;
  const filters = subscriptions.map(({ filter }) => filter);
  const query = beginQuery(client, session, filters);
  // These messages were published after the subscription was made, and reached the session while it was offline.
  query.leaveOut(waitingRetained(session));
  sendRetained(client, session, subscriptions, query);
}
