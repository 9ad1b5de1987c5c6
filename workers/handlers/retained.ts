/** Sends the retained messages of new subscriptions, page by page, no faster than the client reads and acknowledges. */

import { steadyNow } from '../../src/kernel/clock.ts';
import { Fifo } from '../../src/kernel/fifo.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import type { Client } from '../client/client.ts';
import { Reading } from '../client/reading.ts';
import { Message } from '../routing/message.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { LocalPage, RetainedQuery, RetainedReader } from '../session/retained/queries.ts';
import { type Session, subscriptionKey } from '../session/session.ts';

/** Milliseconds in which the readers of this thread are sent pages in one loop iteration. */
const SLICE_MS = 5;

/** Readers that can go on: each is sent one page in its turn. */
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

/** A page, and where it stands in the answer. */
interface Held {
  filterAt: number;
  at: number;
  page: LocalPage;
  /** of the recent messages, when it came */
  epoch: number;
}

/** One question's way to its client. Each message is one of its own for the session: RETAIN is 1 [MQTT-3.3.1-8], QoS is the lower of both. */
class RetainedFeed implements RetainedReader {
  readonly #client: Client;
  readonly #session: Session;
  readonly #subscriptions: readonly Subscription[];
  readonly #query: RetainedQuery;
  /** being sent */
  #held: Held | null = null;
  /** the filter that it is about, or was */
  #filterAt = 0;
  /** messages of it that are done with, and the topic of the last one */
  #sent = 0;
  #lastTopic = '';
  /** comes behind it */
  #next: Held | null = null;
  /** a page is on its way */
  #isAwaited = true;
  /** no page is left behind those that are here: of the filter, and of any */
  #isFilterDone = false;
  #isAll = false;
  #isDue = false;

  /** @param subscriptions in the order of the question's filters */
  constructor(client: Client, session: Session, subscriptions: readonly Subscription[], query: RetainedQuery) {
    this.#client = client;
    this.#session = session;
    this.#subscriptions = subscriptions;
    this.#query = query;
  }

  onPage(filterAt: number, at: number, page: LocalPage | null): void {
    this.#isAwaited = false;
    this.#isFilterDone = page === null;
    if (page === null) this.#isAll = filterAt >= this.#subscriptions.length;
    else {
      const held = { filterAt, at, page, epoch: this.#query.recent.epoch };
      // Instead of one that was out of date.
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

  /** Takes a turn in a later loop iteration. */
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

  /** False: the subscription is gone, or was made anew. */
  #isCurrent({ filterAt }: { filterAt: number }): boolean {
    const subscription = this.#subscriptions[filterAt]!;
    return this.#session.subscriptions.get(subscriptionKey(subscription)) === subscription;
  }

  /** The page has been sent. The one behind it is asked for before it is due. */
  #advance({ filterAt, at }: Held): void {
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
    const { retainedDue } = this.#session;
    if (retainedDue === null) return;
    for (const [filterAt, subscription] of this.#subscriptions.entries()) {
      // One that was made anew has a question of its own.
      if (this.#isCurrent({ filterAt })) retainedDue.delete(subscriptionKey(subscription));
    }
    if (retainedDue.size === 0) this.#session.retainedDue = null;
  }

  /** False: the window is full, and the rest of the page has to wait. */
  #send(held: Held): boolean {
    const client = this.#client;
    const { page } = held;
    const subscription = this.#subscriptions[held.filterAt]!;
    const isPlain = subscription.identifier === 0 && !subscription.noLocal && client.takesRuns && !page.page.expires;
    if (this.#sent === 0 && isPlain && (subscription.qos === 0 || page.page.maxQos === 0) && this.#query.isUndisturbed) {
      client.sendRun(page.runFor(client.version));
      return true;
    }
    const { messages } = page;
    const now = steadyNow();
    for (; this.#sent < messages.length; this.#sent++) {
      const stored = messages[this.#sent]!;
      const isQueued = subscription.qos > 0 && stored.qos > 0;
      if (isQueued && !this.#session.hasRoom) return false;
      this.#lastTopic = stored.topic;
      // Published anew while it waited.
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

/** Begins to hear what is published, for subscriptions that are made now. The question ends with the client. */
export function beginQuery(client: Client, session: Session, filters: readonly string[]): RetainedQuery {
  const query = client.context.retained.begin(session.namespace.name, filters);
  client.reading ??= new Reading();
  client.reading.add(query);
  return query;
}

/** Sends what is retained for these subscriptions. @param subscriptions in the order of the question's filters */
export function sendRetained(client: Client, session: Session, subscriptions: readonly Subscription[], query: RetainedQuery): void {
  if (session.expirySeconds > 0) {
    // A connection that ends before all has been sent leaves the rest to the next one.
    const keys = subscriptions.filter(({ qos }) => qos > 0).map(subscriptionKey);
    if (keys.length > 0) session.retainedDue = new Set([...(session.retainedDue ?? []), ...keys]);
  }
  query.ask(new RetainedFeed(client, session, subscriptions, query));
}

/** Topic → payload of the newest delivery, not acknowledged yet, of a message that was published with RETAIN. */
function waitingRetained({ inflight, queue }: Session): Map<string, Uint8Array> {
  const newest = new Map<string, Uint8Array>();
  for (const { message } of [...inflight.inOrder(), ...queue]) if (message.retain) newest.set(message.topic, message.payload);
  return newest;
}

/** Asks again for what an earlier connection of the session did not get. */
export function resumeRetained(client: Client, session: Session): void {
  const keys = session.retainedDue;
  if (keys === null) return;
  session.retainedDue = null;
  const subscriptions = [...keys].flatMap((key) => session.subscriptions.get(key) ?? []);
  if (subscriptions.length === 0) return;
  const filters = subscriptions.map(({ filter }) => filter);
  const query = beginQuery(client, session, filters);
  // Published after the subscription was made, these messages came to the session while its client was away.
  query.leaveOut(waitingRetained(session));
  sendRetained(client, session, subscriptions, query);
}
