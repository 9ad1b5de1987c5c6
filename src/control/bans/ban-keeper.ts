/** The bans that apply on this node: follows the copy of the documents, tells every endpoint worker, and removes bans that have ended. */

import { BAN_KIND, banIdOf, fromBanBody, isBanPattern } from '../../endpoint/bans/ban.ts';
import type { BanChange } from '../../endpoint/bans/ban-index.ts';
import { wallNow } from '../../kernel/clock.ts';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { DocumentChange, DocumentStore } from '../../storage/documents/document-store.ts';
import type { DocumentCopy, ListPlace } from '../../storage/local/document-copy.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { ChangedDocument, DocumentFollower } from '../documents/follower.ts';

export interface BanKeeperOptions {
  copy: DocumentCopy;
  store: DocumentStore;
  follower: DocumentFollower;
  node: string;
  logger: Logger;
}

/** Bans of one command to a worker: some milliseconds of its time. */
const SENT_AT_ONCE = 1_000;
const SEND_TIMEOUT_MS = 10_000;
const RETRY_MS = 1_000;
/** Longest wait of a change until every worker obeys it. */
const OBEYED_MS = 8_000;
const PAGE = 1_000;
/** Times between two looks for bans that have ended. They differ, so that the nodes of a cluster do not all write at once. */
const ENDED_EVERY_MS = { least: 5_000, spread: 10_000 };
const REMOVED_AT_ONCE = 1_000;

/** What a worker does not know yet, by key. */
interface Feed {
  waiting: Map<string, number | null>;
  /** null: nothing is under way */
  sending: Promise<void> | null;
}

export class BanKeeper {
  readonly #options: BanKeeperOptions;
  /** by key: the end, Infinity: none */
  readonly #bans = new Map<string, number>();
  readonly #feeds = new Map<WorkerHandle, Feed>();
  readonly #closing = new AbortController();
  /** the last look at the copy */
  #looked: Promise<void> = Promise.resolve();
  #running: Promise<void> = Promise.resolve();

  constructor(options: BanKeeperOptions) {
    this.#options = options;
    options.follower.changed.subscribe((names) => this.#look(names));
  }

  /** Bans that have not ended. */
  get total(): number {
    return this.#count(() => true);
  }

  /** Of them, those with a pattern. */
  get patterns(): number {
    return this.#count((key) => isBanPattern(banIdOf(key).by));
  }

  has(key: string): boolean {
    return (this.#bans.get(key) ?? 0) > wallNow();
  }

  #count(counts: (key: string) => boolean): number {
    const now = wallNow();
    let count = 0;
    for (const [key, until] of this.#bans) if (until > now && counts(key)) count++;
    return count;
  }

  /** Takes the bans of the copy, before the first endpoint opens. */
  async load(): Promise<void> {
    this.#look(null);
    await this.#looked;
  }

  /** Begins to remove bans that have ended. */
  start(): void {
    this.#running = this.#removeEnded();
  }

  /** Tells a worker every ban, before its first endpoint opens. @throws FluxError `timeout`, or the error of the worker */
  async attach(worker: WorkerHandle, deadline: Deadline): Promise<void> {
    if (this.#feeds.has(worker)) return;
    for (const known of this.#feeds.keys()) if (!known.isUsable) this.#feeds.delete(known);
    const feed: Feed = { waiting: new Map(this.#bans), sending: null };
    this.#feeds.set(worker, feed);
    this.#pump(worker, feed);
    if (feed.sending !== null && !(await deadline.reaches(feed.sending)))
      throw new FluxError('timeout', 'the worker did not take the bans in time');
  }

  /** Resolves when every worker obeys what the copy shows. @throws FluxError `timeout` */
  async obeyed(): Promise<void> {
    const deadline = new Deadline(OBEYED_MS);
    const all = this.#looked.then(() => Promise.all([...this.#feeds.values()].map(({ sending }) => sending)));
    if (!(await deadline.reaches(all))) throw new FluxError('timeout', 'A worker thread has not taken the bans yet');
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  /** Applies a ban on this node before it is in the store, and when it cannot be stored; then it is not listed. */
  impose(key: string, until: number): void {
    if ((this.#bans.get(key) ?? 0) >= until) return;
    this.#apply(key, until);
    this.#pumpAll();
  }

  #look(names: readonly ChangedDocument[] | null): void {
    this.#looked = this.#looked
      .then(() => (names === null ? this.#readAll() : this.#readSome(names)))
      .catch((error: unknown) => this.#options.logger.error('Bans: the copy cannot be read', { reason: messageOf(error) }));
  }

  async #readAll(): Promise<void> {
    const { copy } = this.#options;
    const pace = new Pace();
    const gone = new Set(this.#bans.keys());
    let place: ListPlace | null = null;
    do {
      const page = copy.list(BAN_KIND, '', place, PAGE);
      for (const { key, body } of page) {
        gone.delete(key);
        this.#set(key, body);
      }
      place = page.length < PAGE ? null : page.at(-1)!;
      if (pace.isOver) await pace.next();
    } while (place !== null);
    for (const key of gone) this.#set(key, null);
    this.#pumpAll();
  }

  async #readSome(names: readonly ChangedDocument[]): Promise<void> {
    const pace = new Pace();
    for (const { kind, key } of names) {
      if (kind !== BAN_KIND) continue;
      this.#set(key, this.#options.copy.get(BAN_KIND, key)?.body ?? null);
      if (pace.isOver) await pace.next();
    }
    this.#pumpAll();
  }

  #set(key: string, body: string | null): void {
    const until = body === null ? null : (fromBanBody(key, body).until ?? Number.POSITIVE_INFINITY);
    if ((this.#bans.get(key) ?? null) === until) return;
    this.#apply(key, until);
  }

  #apply(key: string, until: number | null): void {
    if (until === null) this.#bans.delete(key);
    else this.#bans.set(key, until);
    for (const { waiting } of this.#feeds.values()) waiting.set(key, until);
  }

  #pumpAll(): void {
    for (const [worker, feed] of this.#feeds) {
      if (worker.isUsable) this.#pump(worker, feed);
      else this.#feeds.delete(worker);
    }
  }

  #pump(worker: WorkerHandle, feed: Feed): void {
    if (feed.sending !== null || feed.waiting.size === 0) return;
    feed.sending = this.#send(worker, feed).finally(() => {
      feed.sending = null;
    });
  }

  /** Sends until nothing waits. What a worker did not take waits again, unless something newer does. */
  async #send(worker: WorkerHandle, { waiting }: Feed): Promise<void> {
    while (waiting.size > 0 && worker.isUsable && !this.#closing.signal.aborted) {
      const changes: BanChange[] = [];
      for (const change of waiting) {
        changes.push(change);
        if (changes.length === SENT_AT_ONCE) break;
      }
      for (const [key] of changes) waiting.delete(key);
      try {
        await worker.call('bans.take', { changes }, { timeoutMs: SEND_TIMEOUT_MS });
      } catch (error) {
        if (!worker.isUsable) return;
        this.#options.logger.warn('Bans: a worker thread did not take them, and gets them again', { reason: messageOf(error) });
        for (const [key, until] of changes) if (!waiting.has(key)) waiting.set(key, until);
        await pause(RETRY_MS, this.#closing.signal);
      }
    }
  }

  async #removeEnded(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(ENDED_EVERY_MS.least + Math.random() * ENDED_EVERY_MS.spread, signal);
      if (signal.aborted) return;
      try {
        await this.#removeSome();
      } catch {
        // Another node was first, or the store is away: the bans do not apply any more, and the next look finds what is left.
      }
    }
  }

  async #removeSome(): Promise<void> {
    const { copy, store, follower, node } = this.#options;
    const now = wallNow();
    const changes: DocumentChange[] = [];
    for (const [key, until] of this.#bans) {
      if (until > now) continue;
      const known = copy.get(BAN_KIND, key);
      if (known === null) this.#apply(key, null);
      else changes.push({ kind: BAN_KIND, key, body: null, expected: known.revision });
      if (changes.length === REMOVED_AT_ONCE) break;
    }
    this.#pumpAll();
    if (changes.length === 0) return;
    const meta = { action: 'remove', actor: 'system', source: 'node', node, requestId: '', reason: 'the bans have ended' } as const;
    try {
      await store.commit(changes, meta);
    } finally {
      await follower.follow();
    }
  }
}
