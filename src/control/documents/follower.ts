/** Keeps this node's copy of the documents in step with the store. One read at a time; the copy stays as it was when a read fails. */

import { pause } from '../../kernel/deadline.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { DocumentRow, DocumentStore } from '../../storage/documents/document-store.ts';
import type { CopyPlace, DocumentCopy } from '../../storage/local/document-copy.ts';

export interface FollowerOptions {
  store: DocumentStore;
  copy: DocumentCopy;
  logger: Logger;
  /** milliseconds between two reads of a store that other processes write to; null: it is read when woken, and after a failure */
  intervalMs: number | null;
  /** kinds of documents whose changes `changed` reports */
  reported: ReadonlySet<string>;
}

/** Versions of one page, as far as the store gives them at once. */
const PAGE_ROWS = 1_000;
/** Behind the last change of a revision. */
const SEQ_END = 2 ** 31 - 1;
/** Pause after a failure, so that the node catches up soon after the return of the store. */
const RETRY_MS = 1_000;

export class DocumentFollower {
  readonly #changed = new Emitter<[names: ChangedDocument[] | null]>();
  /** The copy has changed: these documents of the reported kinds; null: any of them may have. */
  readonly changed: Subscribable<[names: ChangedDocument[] | null]> = this.#changed;
  readonly #options: FollowerOptions;
  readonly #closing = new AbortController();
  #reading: Promise<void> | null = null;
  /** a read that begins after the one under way, for callers that came too late for that one */
  #next: Promise<void> | null = null;
  #running: Promise<void> = Promise.resolve();
  #awake = new AbortController();
  /** the reason why the last read failed; null: it did not */
  #failure: string | null = null;
  #hasRead = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** True when the copy shows a state of the store, this one or an earlier one. */
  get isKnown(): boolean {
    return this.#hasRead || this.#options.copy.place.life !== '';
  }

  /** Begins to read now and then. */
  start(): void {
    this.#running = this.#run();
  }

  /** Reads soon. */
  wake(): void {
    this.#awake.abort();
  }

  /** Reads everything that was committed before the call. @throws FluxError `unavailable`; errors of the copy */
  follow(): Promise<void> {
    if (this.#reading === null) return this.#begin();
    this.#next ??= this.#reading
      .catch(() => {})
      .then(() => {
        this.#next = null;
        return this.#begin();
      });
    return this.#next;
  }

  /** Reads up to a revision at least. @throws FluxError `unavailable`, also when the store does not show that revision */
  async reach(revision: number): Promise<void> {
    const { copy } = this.#options;
    await this.follow();
    if (copy.place.revision < revision)
      throw new FluxError('unavailable', `The store shows revision ${copy.place.revision} of its documents`);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#awake.abort();
    await this.#running;
    await this.#reading?.catch(() => {});
  }

  #begin(): Promise<void> {
    const reading = this.#read().finally(() => {
      this.#reading = null;
    });
    this.#reading = reading;
    reading.catch(() => {});
    return reading;
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      this.#awake = new AbortController();
      let waitMs = this.#options.intervalMs ?? 2 ** 31 - 1;
      try {
        await this.follow();
      } catch {
        waitMs = Math.min(waitMs, RETRY_MS);
      }
      await pause(waitMs, this.#awake.signal);
    }
  }

  async #read(): Promise<void> {
    const { copy, logger } = this.#options;
    try {
      await this.#readNow();
      if (this.#failure !== null) logger.info('Users, bans, auth and acl: the store can be read again', { revision: copy.place.revision });
      this.#failure = null;
      this.#hasRead = true;
    } catch (error) {
      const reason = messageOf(error);
      if (this.#failure === null && !this.#closing.signal.aborted)
        logger.warn('Users, bans, auth and acl: the store cannot be read, and this node keeps those that it knows', { reason });
      this.#failure = reason;
      throw error;
    }
  }

  /** Passes pages on, and notes the documents of the reported kinds. */
  async *#noted(
    pages: AsyncGenerator<readonly DocumentRow[], CopyPlace>,
    names: ChangedDocument[],
  ): AsyncGenerator<readonly DocumentRow[], CopyPlace> {
    for (;;) {
      const page = await pages.next();
      if (page.done === true) return page.value;
      for (const { kind, key } of page.value) if (this.#options.reported.has(kind)) names.push({ kind, key });
      yield page.value;
    }
  }

  async #readNow(): Promise<void> {
    const { store, copy } = this.#options;
    const state = await store.state();
    const { life, revision } = copy.place;
    const isSame = life === state.life && revision <= state.revision && revision >= state.floor;
    if (isSame && revision === state.revision) return;
    try {
      const names: ChangedDocument[] = [];
      await copy.take(this.#noted(pagesOf(store, isSame ? revision : 0, isSame ? null : state.floor), names), !isSame);
      if (!isSame) this.#changed.emit(null);
      else if (names.length > 0) this.#changed.emit(names);
    } catch (error) {
      await copy.undo();
      throw error;
    }
  }
}

/** The name of a document. */
export type ChangedDocument = Pick<DocumentRow, 'kind' | 'key'>;

/** @param floor of the store when a copy begins anew: a removal may have been missed when it has moved since; null: of no interest */
async function* pagesOf(store: DocumentStore, revision: number, floor: number | null): AsyncGenerator<readonly DocumentRow[], CopyPlace> {
  let place = { revision, seq: revision === 0 ? -1 : SEQ_END };
  for (;;) {
    const page = await store.since(place, PAGE_ROWS);
    if (floor === null ? page.floor > revision : page.floor !== floor) throw new Error('old changes were dropped during the read');
    yield page.rows;
    if (page.next !== null) {
      place = page.next;
      continue;
    }
    // A page reads one moment: everything up to its revision has come.
    return { life: page.life, revision: page.revision };
  }
}
