/**
 * The keys of the store in its bucket. `head` changes by compare-and-set and holds the newest revision whole, so that a commit is one
 * write. `history.N` and, every SNAPSHOT_EVERY revisions, `snapshot.N` follow from the head. Whichever node comes first writes them, before
 * the next head replaces this one.
 */

import { randomUUID } from 'node:crypto';
import { completeEndpoint } from '../../endpoint/defaults.ts';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { HistoryRow, PendingConfirm, StoredEndpoint } from '../endpoint-store.ts';
import { replay } from '../replay.ts';
import { type Bucket, type BucketEntry, ConflictError } from './bucket.ts';
import { Freshness } from './freshness.ts';

const SCHEMA = 1;
const SNAPSHOT_EVERY = 64;
/** Keys that are read concurrently. */
const READS = 64;

/** Keys of the pieces, for items that are too large for one message. */
interface Parts {
  parts: string[];
}

export interface Head {
  schema: number;
  /** created with the first head: tells an emptied bucket from an older state */
  life: string;
  /** 0: no revision yet */
  revision: number;
  /** the commit that made the revision; a writer that lost its connection recognizes its own commit by it */
  commit: string;
  pending: PendingConfirm[];
  /** rows of the newest revision */
  last: HistoryRow[] | Parts;
}

/** The value of a `history` or `snapshot` key: the result of the named commit. */
interface Kept<T> {
  commit: string;
  items: T[] | Parts;
}

/**
 * The value of the key `compaction`: the part of the history that was dropped. It is no part of the head, because an older version would
 * rewrite the head without it. Keys of revisions up to `cleared` that are not in `kept` are gone.
 */
export interface Compaction {
  /** see Past.floor */
  floor: number;
  /** id → the revision of its newest row up to the floor */
  kept: Record<string, number>;
  cleared: number;
  /** the process that drops keys now, and the end of its exclusive right; milliseconds since the epoch */
  owner: string;
  until: number;
}

const NOTHING_DROPPED: Compaction = { floor: 0, kept: {}, cleared: 0, owner: '', until: 0 };

/** A state of the store: the head and its entry, null in an empty store, and the content that the head leads to. */
export interface BucketState {
  head: Head | null;
  entry: BucketEntry | null;
  content: Map<string, StoredEndpoint>;
}

/** The state of a process that outlives its connections to the bucket. */
export class Memory {
  readonly freshness = new Freshness();
  /** time and number of rows of each revision, for the age limit of a compaction */
  readonly ages = new Map<number, { revision: number; at: number; count: number }>();
  /** the content that was read last; the next read starts there */
  known: { revision: number; commit: string; content: Map<string, StoredEndpoint> } = { revision: 0, commit: '', content: new Map() };
}

export class RevisionLog {
  readonly #bucket: Bucket;
  readonly #memory: Memory;

  constructor(bucket: Bucket, memory: Memory) {
    this.#bucket = bucket;
    this.#memory = memory;
  }

  /** The bucket of this connection. */
  get bucket(): Bucket {
    return this.#bucket;
  }

  /** See Memory. */
  get ages(): Memory['ages'] {
    return this.#memory.ages;
  }

  /**
   * @throws FluxError `unavailable`, also when a newer version wrote the bucket, or when the head is older than one that was read before
   */
  async head(): Promise<{ head: Head | null; entry: BucketEntry | null }> {
    const entry = await this.#bucket.get('head');
    const head = (entry?.value ?? null) as Head | null;
    this.#memory.freshness.check(head?.life ?? '', entry?.sequence ?? 0);
    if (head !== null && head.schema > SCHEMA) {
      throw new FluxError('unavailable', `The bucket was written by a newer fluxmq (schema ${head.schema}; this version knows ${SCHEMA})`);
    }
    return { head, entry };
  }

  /** The newest content. @throws FluxError `unavailable` */
  async read(): Promise<BucketState> {
    const { head, entry } = await this.head();
    if (head === null) return { head, entry, content: new Map() };
    const { revision, commit } = this.#memory.known;
    const isAhead = revision < head.revision && revision > 0 && head.revision - revision <= SNAPSHOT_EVERY;
    if (revision !== head.revision || commit !== head.commit) {
      const isKnown = isAhead && (await this.#commitOf(revision)) === commit;
      const content = isKnown
        ? await this.#replayFrom(revision, this.#memory.known.content, head)
        : await this.contentAt(head, head.revision);
      this.#memory.known = { revision: head.revision, commit: head.commit, content };
    }
    return { head, entry, content: this.#memory.known.content };
  }

  /** The content right after a revision that is not newer than the head's. */
  async contentAt(head: Head, revision: number): Promise<Map<string, StoredEndpoint>> {
    if (revision === 0) return new Map<string, StoredEndpoint>();
    // A snapshot is written after its revision, so the snapshot of the newest revision may still be missing.
    const base = Math.floor((revision - 1) / SNAPSHOT_EVERY) * SNAPSHOT_EVERY;
    const { value } = await this.compaction();
    if (value.floor > 0 && base <= value.floor) {
      const content = replay(await this.keptRows(head, value), new Map());
      return this.#replayFrom(value.floor, content, head, Math.max(revision, value.floor));
    }
    const content = base === 0 ? new Map<string, StoredEndpoint>() : await this.#snapshot(base);
    return this.#replayFrom(base, content, head, revision);
  }

  /** The compaction state, and its entry for the next write. @throws FluxError `unavailable` */
  async compaction(): Promise<{ value: Compaction; entry: BucketEntry | null }> {
    const entry = await this.#bucket.get('compaction');
    return { value: (entry?.value as Compaction | undefined) ?? NOTHING_DROPPED, entry };
  }

  /** @throws ConflictError when another node was first, FluxError `unavailable` */
  async setCompaction(value: Compaction, after: BucketEntry | null): Promise<void> {
    await this.#bucket.swap('compaction', value, after);
  }

  /** Rows up to the floor, oldest first: the newest of each endpoint. @throws FluxError `unavailable` */
  async keptRows(head: Head, { kept }: Compaction): Promise<HistoryRow[]> {
    const revisions = [...new Set(Object.values(kept))].sort((a, b) => a - b);
    const rows = (await this.rowsOf(head, revisions)).flat();
    return rows.filter(({ id, revision }) => Object.hasOwn(kept, id) && kept[id] === revision);
  }

  /** Drops the history and snapshot keys of these revisions. @throws FluxError `unavailable` */
  async drop(revisions: readonly number[]): Promise<void> {
    for (const revision of revisions) {
      for (const key of [`history.${revision}`, ...(revision % SNAPSHOT_EVERY === 0 ? [`snapshot.${revision}`] : [])]) {
        const entry = await this.#bucket.get(key);
        if (entry === null) continue;
        const { items } = entry.value as Kept<unknown>;
        await this.#bucket.drop(Array.isArray(items) ? [key] : [key, ...items.parts]);
      }
    }
  }

  /** Bytes of the bucket. @throws FluxError `unavailable` */
  bytes(): Promise<number> {
    return this.#bucket.bytes();
  }

  async #replayFrom(
    base: number,
    content: ReadonlyMap<string, StoredEndpoint>,
    head: Head,
    revision = head.revision,
  ): Promise<Map<string, StoredEndpoint>> {
    const revisions = Array.from({ length: revision - base }, (_, index) => base + 1 + index);
    return replay((await this.rowsOf(head, revisions)).flat(), content);
  }

  /** The rows of each of these revisions, in the order asked for. @throws FluxError `unavailable` when one is missing */
  async rowsOf(head: Head, revisions: number[]): Promise<HistoryRow[][]> {
    const found: HistoryRow[][] = [];
    for (let from = 0; from < revisions.length; from += READS) {
      const some = revisions.slice(from, from + READS);
      found.push(...(await Promise.all(some.map((revision) => this.#rows(head, revision)))));
    }
    return found;
  }

  async #rows(head: Head, revision: number): Promise<HistoryRow[]> {
    if (revision === head.revision) return completeRows(await this.#unwrap(head.last));
    const entry = await this.#bucket.get(`history.${revision}`);
    if (entry === null) throw new FluxError('unavailable', `The bucket has lost revision ${revision}`);
    return completeRows(await this.#unwrap((entry.value as Kept<HistoryRow>).items));
  }

  /** The commit that made the revision; null when the revision does not exist yet. @throws FluxError `unavailable` */
  async commitAt(revision: number): Promise<string | null> {
    const { head } = await this.head();
    if (head === null || head.revision < revision) return null;
    return head.revision === revision ? head.commit : this.#commitOf(revision);
  }

  async #commitOf(revision: number): Promise<string | null> {
    const entry = await this.#bucket.get(`history.${revision}`);
    return entry === null ? null : (entry.value as Kept<HistoryRow>).commit;
  }

  async #snapshot(revision: number): Promise<Map<string, StoredEndpoint>> {
    const entry = await this.#bucket.get(`snapshot.${revision}`);
    if (entry === null) throw new FluxError('unavailable', `The bucket has lost the snapshot of revision ${revision}`);
    const stored = await this.#unwrap((entry.value as Kept<StoredEndpoint>).items);
    return new Map(stored.map(({ endpoint, revision: at }) => [endpoint.id, { endpoint: completeEndpoint(endpoint), revision: at }]));
  }

  /**
   * Writes everything that must exist before the new head, and returns that head.
   * @throws FluxError `unavailable`, `too-large`: nothing has changed
   */
  async prepare(place: BucketState, revision: number, rows: HistoryRow[], pending: PendingConfirm[], commit: string): Promise<Head> {
    if (place.head !== null) await this.secure(place.head, place.content);
    return { schema: SCHEMA, life: place.head?.life ?? randomUUID(), revision, commit, pending, last: await this.#wrap(rows) };
  }

  /**
   * Makes a prepared head the newest one.
   * @throws ConflictError when another head was first, FluxError `unavailable`: the head may have been written
   */
  async advance(place: BucketState, head: Head): Promise<void> {
    await this.#bucket.swap('head', head, place.entry);
  }

  /**
   * Writes the head again unchanged. An earlier write that has not arrived yet can then no longer succeed, because its sequence is
   * outdated.
   * @throws ConflictError when an earlier write has arrived, or another node was first; FluxError `unavailable`
   */
  async fence(): Promise<void> {
    const { head, entry } = await this.head();
    const empty: Head = { schema: SCHEMA, life: randomUUID(), revision: 0, commit: '', pending: [], last: [] };
    await this.#bucket.swap('head', head ?? empty, entry);
  }

  /** Replaces only the pending confirmations. @throws as advance() */
  async setPending(head: Head, entry: BucketEntry, pending: PendingConfirm[]): Promise<void> {
    await this.#bucket.swap('head', { ...head, pending } satisfies Head, entry);
  }

  /** Writes the keys that follow from a head, before the next head replaces it. */
  async secure(head: Head, content: ReadonlyMap<string, StoredEndpoint>): Promise<void> {
    const { revision, commit, last } = head;
    if (revision === 0) return;
    await this.#once(`history.${revision}`, { commit, items: last });
    if (revision % SNAPSHOT_EVERY === 0)
      await this.#once(`snapshot.${revision}`, { commit, items: await this.#wrap([...content.values()]) });
  }

  /** Writes one revision of an adopted history, which counts once the head exists. @param content the content right after the revision */
  async adopt(rows: readonly HistoryRow[], content: ReadonlyMap<string, StoredEndpoint>): Promise<void> {
    const [first] = rows;
    if (first === undefined) return;
    const { revision } = first;
    const commit = randomUUID();
    await this.#once(`history.${revision}`, { commit, items: await this.#wrap([...rows]) });
    if (revision % SNAPSHOT_EVERY === 0)
      await this.#once(`snapshot.${revision}`, { commit, items: await this.#wrap([...content.values()]) });
  }

  /** Writes a key unless another node wrote the same value. Replaces the remains of an interrupted adoption. */
  async #once(key: string, value: Kept<HistoryRow> | Kept<StoredEndpoint>): Promise<void> {
    for (;;) {
      const known = await this.#bucket.get(key);
      if (known !== null && (known.value as Kept<unknown>).commit === value.commit) return;
      try {
        await this.#bucket.put(key, value, known);
        return;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
      }
    }
  }

  /** Splits items that are too large for one message into keys of their own. */
  async #wrap<T>(items: T[]): Promise<T[] | Parts> {
    if (this.#bucket.fits(items)) return items;
    if (items.length === 1) throw new FluxError('too-large', 'One endpoint is larger than a NATS message may be');
    const half = Math.ceil(items.length / 2);
    const parts: string[] = [];
    for (const piece of [items.slice(0, half), items.slice(half)]) {
      const wrapped = await this.#wrap(piece);
      if (!Array.isArray(wrapped)) parts.push(...wrapped.parts);
      else {
        const key = `part.${randomUUID()}`;
        await this.#bucket.put(key, wrapped, null);
        parts.push(key);
      }
    }
    return { parts };
  }

  async #unwrap<T>(items: T[] | Parts): Promise<T[]> {
    if (Array.isArray(items)) return items;
    const pieces = await Promise.all(items.parts.map((key) => this.#bucket.get(key)));
    return pieces.flatMap((piece) => {
      if (piece === null) throw new FluxError('unavailable', 'The bucket has lost a part of a revision');
      return piece.value as T[];
    });
  }
}

/** Gives rows of an older version the defaults of the keys that it did not know. */
function completeRows(rows: HistoryRow[]): HistoryRow[] {
  const complete = (endpoint: Endpoint | null) => (endpoint === null ? null : completeEndpoint(endpoint));
  return rows.map((row) => ({ ...row, before: complete(row.before), after: complete(row.after) }));
}
