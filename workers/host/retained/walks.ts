/** Walks over retained messages, shared by several queries and cut into pages: a page is made once for all its readers. */

import { BoundedMap } from '../../../src/kernel/bounded-map.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Message } from '../../shared/messages/message.ts';
import { makePage, needsOwnPage, type RetainedPage } from '../../shared/wire/page.ts';
import type { RetainedStore } from './store.ts';
import type { RetainedWalk } from './tree.ts';

const PAGE_MESSAGES = 500;
const PAGE_BYTES = 64 * 1024;
/** Steps between two readings of the clock, because a reading costs as much as a few steps. */
const STEPS_BETWEEN_CLOCKS = 64;
/** Bytes of finished pages that are kept for further readers. An older page keeps only its topics, and is made again on demand. */
const KEPT_BYTES = 16 * 1024 * 1024;
/** Limit of walks that a further query may share. */
const JOINABLE_MAX = 32;

type MessageName = Pick<Message, 'source' | 'serial'>;

/** A page of a walk. */
interface Page {
  readonly topics: readonly string[];
  /** the messages as they were. A topic whose message differs now has a newer one, which every reader has got live */
  readonly names: readonly MessageName[];
  /** null: the page must be made again */
  made: RetainedPage | null;
}

/**
 * A query joins a walk only while the namespace is unchanged since the walk began, so that the pages are those that a walk of its own would
 * find. Every reader gets later changes live, because it subscribed before its query.
 */
export class SharedWalk {
  readonly namespace: string;
  readonly filter: string;
  /** version of the namespace when the walk began */
  readonly version: number;
  readonly pages: Page[] = [];
  readers = 0;
  /** null when the walk is over */
  walk: RetainedWalk | null;
  /** messages of the page under construction */
  messages: Message[] = [];
  bytes = 0;

  constructor(namespace: string, filter: string, version: number, walk: RetainedWalk | null) {
    this.namespace = namespace;
    this.filter = filter;
    this.version = version;
    this.walk = walk;
  }
}

export class RetainedWalks {
  readonly #store: RetainedStore;
  /** namespace, NUL, filter → the newest walk */
  readonly #joinable = new BoundedMap<string, SharedWalk>(JOINABLE_MAX);
  readonly #kept = new Fifo<Page>();
  #keptBytes = 0;

  constructor(store: RetainedStore) {
    this.#store = store;
  }

  /** Opens a walk for one more reader. */
  open(namespace: string, filter: string): SharedWalk {
    const key = `${namespace}\0${filter}`;
    const version = this.#store.version(namespace);
    let shared = this.#joinable.get(key);
    if (shared === undefined || shared.version !== version) {
      shared = new SharedWalk(namespace, filter, version, this.#store.walk(namespace, filter));
      this.#joinable.set(key, shared);
    }
    shared.readers++;
    return shared;
  }

  /** Ends the use of a walk by one reader. */
  leave(shared: SharedWalk): void {
    shared.readers--;
  }

  /** Drops walks without readers. */
  sweep(): void {
    for (const [key, shared] of this.#joinable) if (shared.readers === 0) this.#joinable.delete(key);
  }

  /**
   * A page of a walk, counted from 0. Null: there are no more pages. Undefined: the page is not found yet; ask again in a later loop
   * iteration.
   * @param isFresh the page must show the present messages, not those of the time when it was made
   * @param until steady milliseconds at which the slice ends
   */
  page(shared: SharedWalk, at: number, isFresh: boolean, until: number): RetainedPage | null | undefined {
    if (at >= shared.pages.length && !this.#collect(shared, until)) return undefined;
    const page = shared.pages[at];
    if (page === undefined) return null;
    if (page.made === null || isFresh) this.#make(page, this.#find(shared.namespace, page));
    return page.made;
  }

  /** True when no page follows the page `at`, which was found. */
  isLast({ walk, messages, pages }: SharedWalk, at: number): boolean {
    return walk === null && messages.length === 0 && at >= pages.length - 1;
  }

  /** The messages of a page that are still retained. */
  #find(namespace: string, { topics, names }: Page): Message[] {
    const now = steadyNow();
    return topics.flatMap((topic, at) => {
      const message = this.#store.get(namespace, topic, now);
      return message === null || !isSame(message, names[at]!) ? [] : message;
    });
  }

  /** False when the slice ends before a further page is complete: before the message behind it, or the end, is found. */
  #collect(shared: SharedWalk, until: number): boolean {
    const { walk } = shared;
    if (walk === null) return true;
    const now = steadyNow();
    for (let steps = 1; ; steps++) {
      if (steps % STEPS_BETWEEN_CLOCKS === 0 && steadyNow() > until) return false;
      const message = walk.step();
      if (message === undefined) {
        shared.walk = null;
        this.#close(shared);
        return true;
      }
      if (message === null || message.isExpired(now)) continue;
      const size = message.topic.length + message.payload.length;
      const { length } = shared.messages;
      const isNext = length === PAGE_MESSAGES || (length > 0 && (shared.bytes + size > PAGE_BYTES || needsOwnPage(message)));
      if (isNext) this.#close(shared);
      shared.messages.push(message);
      shared.bytes += size;
      if (isNext) return true;
    }
  }

  /** Makes a page of the collected messages. */
  #close(shared: SharedWalk): void {
    const { messages } = shared;
    if (messages.length === 0) return;
    shared.messages = [];
    shared.bytes = 0;
    const names = messages.map(({ source, serial }) => ({ source, serial }));
    const page: Page = { topics: messages.map(({ topic }) => topic), names, made: null };
    shared.pages.push(page);
    this.#make(page, messages);
  }

  #make(page: Page, messages: readonly Message[]): void {
    if (page.made === null) this.#kept.push(page);
    else this.#keptBytes -= bytesOf(page.made);
    page.made = makePage(messages);
    this.#keptBytes += bytesOf(page.made);
    while (this.#keptBytes > KEPT_BYTES && this.#kept.length > 1) {
      const oldest = this.#kept.shift()!;
      this.#keptBytes -= bytesOf(oldest.made!);
      oldest.made = null;
    }
  }
}

/** A message that another node sent because it was missing here has no serial: no subscriber got it live. */
function isSame({ source, serial }: MessageName, name: MessageName): boolean {
  return serial === 0 || (serial === name.serial && source === name.source);
}

/** Bytes of a page beside its messages: the packet of a large message is the message itself. */
function bytesOf({ count, packets, heads }: RetainedPage): number {
  return heads.byteLength + (count === 1 ? 0 : packets.byteLength);
}
