/** Walks over retained messages that several questions share, cut into pages: a page is made once for all who read it. */

import { BoundedMap } from '../../../src/kernel/bounded-map.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Message } from '../../routing/message.ts';
import { isLarge, makePage, type RetainedPage } from './page.ts';
import type { RetainedStore } from './store.ts';
import type { RetainedWalk } from './tree.ts';

const PAGE_MESSAGES = 500;
const PAGE_BYTES = 64 * 1024;
/** A clock costs as much as a few steps. */
const STEPS_BETWEEN_CLOCKS = 64;
/** Made pages that are kept for further readers; of the others the topics are kept, and they are made again when somebody wants them. */
const KEPT_BYTES = 16 * 1024 * 1024;
/** Walks that a further question may share. */
const JOINABLE_MAX = 32;

/** A page of a walk. */
interface Page {
  readonly topics: readonly string[];
  /** of the messages: what has another one now has come since the walk began, and every reader has seen it live */
  readonly serials: readonly number[];
  /** null: it has to be made again */
  made: RetainedPage | null;
}

/**
 * A question joins a walk only while nothing in the namespace has changed since the walk began: every page is then what the question would
 * have found itself. What changes later, every reader sees live, because it subscribed before it asked.
 */
export class SharedWalk {
  readonly namespace: string;
  readonly filter: string;
  /** of the namespace, when the walk began */
  readonly version: number;
  readonly pages: Page[] = [];
  readers = 0;
  /** null: over */
  walk: RetainedWalk | null;
  /** of the page that is being collected */
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

  /** A walk for one more reader. */
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

  /** A reader is done with it. */
  leave(shared: SharedWalk): void {
    shared.readers--;
  }

  /** Forgets walks that nobody reads. */
  sweep(): void {
    for (const [key, shared] of this.#joinable) if (shared.readers === 0) this.#joinable.delete(key);
  }

  /**
   * A page of a walk, counted from 0; null: there are no more; undefined: it is not found yet, ask again in a later loop iteration.
   * @param isFresh it must say what is retained now, not when it was made. @param until steady milliseconds at which the slice is over
   */
  page(shared: SharedWalk, at: number, isFresh: boolean, until: number): RetainedPage | null | undefined {
    if (at >= shared.pages.length && !this.#collect(shared, until)) return undefined;
    const page = shared.pages[at];
    if (page === undefined) return null;
    if (page.made === null || isFresh) this.#make(page, this.#find(shared.namespace, page));
    return page.made;
  }

  /** What is left of a page. */
  #find(namespace: string, { topics, serials }: Page): Message[] {
    const now = steadyNow();
    return topics.flatMap((topic, at) => {
      const message = this.#store.get(namespace, topic, now);
      return message === null || message.serial !== serials[at] ? [] : message;
    });
  }

  /** False: the slice is over before a further page is there. */
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
      const isNext = shared.messages.length > 0 && (shared.bytes + size > PAGE_BYTES || isLarge(message));
      if (isNext) this.#close(shared);
      shared.messages.push(message);
      shared.bytes += size;
      if (shared.messages.length === PAGE_MESSAGES) this.#close(shared);
      else if (!isNext) continue;
      return true;
    }
  }

  /** What has been collected is a page. */
  #close(shared: SharedWalk): void {
    const { messages } = shared;
    if (messages.length === 0) return;
    shared.messages = [];
    shared.bytes = 0;
    const page: Page = { topics: messages.map(({ topic }) => topic), serials: messages.map(({ serial }) => serial), made: null };
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

/** What a page takes beside the messages themselves: the packet of a large one is the message. */
function bytesOf({ count, packets, heads }: RetainedPage): number {
  return heads.byteLength + (count === 1 ? 0 : packets.byteLength);
}
