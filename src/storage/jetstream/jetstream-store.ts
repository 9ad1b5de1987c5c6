/** The store of a cluster without a database: a JetStream key-value bucket, on the disks or in the memory of the NATS servers. */

import { randomUUID } from 'node:crypto';
import { NatsLink } from '../../bus/nats/nats-link.ts';
import type { BusSettings } from '../../bus/settings.ts';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { pause, within } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type { NodeStore } from '../documents/document-store.ts';
import type {
  ChangeMeta,
  CommitOptions,
  HistoryLimits,
  HistoryQuery,
  HistoryRow,
  Past,
  PendingConfirm,
  RowPage,
  RowPlace,
  StoreChange,
  StoredEndpoint,
  StoreSize,
  StoreSnapshot,
} from '../endpoint-store.ts';
import type { UnavailableData } from '../failure-reason.ts';
import { byRevision, HISTORY_ROWS_MAX } from '../history-limits.ts';
import { matches } from '../history-match.ts';
import { noSuchRevision } from '../replay.ts';
import { Bucket, ConflictError } from './bucket.ts';
import { BucketDocuments } from './bucket-documents.ts';
import { adoptPast, compactSlice, readRows } from './past.ts';
import { type BucketState, Memory, RevisionLog } from './revision-log.ts';

/** The contract: an operation on a store that is away fails within two seconds. */
const OPERATION_MS = 1_900;
/** How long looking up the outcome of an interrupted write may take: the servers have to elect a new leader first. */
const SETTLE_MS = 8_000;
/** How long the servers may take to come up before a bucket is created with fewer replicas than wanted. */
const SERVERS_WAIT_MS = 10_000;
const PAUSE_MS = 20;
/** Revisions that are read at once for a page of the history. */
const HISTORY_STEP = 64;

/**
 * Opens the store, and creates its bucket when missing. After that the store reconnects by itself.
 * @param name shown in the server's list of connections
 * @param storage where the servers keep the bucket
 * @param waitMs how long the servers may take to come up, milliseconds
 * @throws FluxError `unavailable`
 */
export async function openJetStreamStore(
  settings: BusSettings,
  name: string,
  storage: 'file' | 'memory',
  waitMs = OPERATION_MS,
): Promise<NodeStore> {
  const store = new JetStreamStore(settings, name, storage);
  const deadline = steadyNow() + waitMs;
  for (;;) {
    try {
      await store.load();
      return store;
    } catch (error) {
      if (steadyNow() > deadline) {
        await store.close();
        throw error;
      }
      await pause(PAUSE_MS);
    }
  }
}

/** The rows and pending confirmations of a commit, computed for the newest place. */
interface Attempt {
  rows: HistoryRow[];
  pending: PendingConfirm[];
}

class JetStreamStore implements NodeStore {
  readonly documents = new BucketDocuments(async () => (await this.#open()).bucket);
  readonly #link: NatsLink;
  #journal: RevisionLog | null = null;
  #isClosed = false;
  /** identifies this process as the owner of a compaction */
  readonly #name = randomUUID();
  /** serializes the commits of this process, which would otherwise conflict with one another */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(settings: BusSettings, name: string, storage: 'file' | 'memory') {
    const memory = new Memory();
    const patientUntil = steadyNow() + SERVERS_WAIT_MS;
    this.#link = new NatsLink(settings, name, {
      onConnected: async (connection) => {
        const bucket = await Bucket.open(connection, storage, steadyNow() < patientUntil);
        if (!connection.isClosed()) this.#journal = new RevisionLog(bucket, memory);
      },
      onState: ({ connected }) => {
        if (!connected) this.#journal = null;
      },
    });
  }

  async load(): Promise<StoreSnapshot> {
    const journal = await this.#open();
    const { head, content } = await inTime(journal.read());
    return structuredClone({ revision: head?.revision ?? 0, endpoints: [...content.values()], pending: head?.pending ?? [] });
  }

  commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    const { confirmUntil, settles } = options;
    const given = structuredClone(changes);
    return this.#write((place, revision) => {
      const pending = place.head?.pending ?? [];
      if (settles !== undefined && !pending.some((each) => each.revision === settles)) throw notWaiting(settles);
      const { history } = applyChanges(place.content, given, expected, meta, { revision, at: wallNow() });
      const left = pending.filter((each) => each.revision !== settles);
      return { rows: history, pending: confirmUntil === undefined ? left : [...left, { revision, until: confirmUntil }] };
    });
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    const journal = await this.#open();
    return inTime(this.#page(journal, query));
  }

  async at(revision: number): Promise<StoreSnapshot> {
    const journal = await this.#open();
    return inTime(this.#contentAt(journal, revision));
  }

  async confirm(revision: number): Promise<void> {
    const deadline = steadyNow() + OPERATION_MS;
    for (;;) {
      const journal = await this.#open();
      const { head, entry } = await inTime(journal.head());
      const pending = head?.pending ?? [];
      const left = pending.filter((each) => each.revision !== revision);
      if (head === null || entry === null || left.length === pending.length) throw notWaiting(revision);
      try {
        return await inTime(journal.setPending(head, entry, left));
      } catch (error) {
        if (!(error instanceof ConflictError) || steadyNow() > deadline) throw error;
      }
    }
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    const journal = await this.#open();
    return inTime(readRows(journal, after, limit));
  }

  adopt(past: Past): Promise<number> {
    return this.#inLine(async () => {
      const journal = await this.#open();
      const { head, entry } = await inTime(journal.head());
      if (head !== null && head.revision > 0) throw new FluxError('exists', 'The store is not empty');
      if (past.revision === 0) return 0;
      // May take as long as the history is long. No reader sees the rows before the head is written.
      const newest = await adoptPast(journal, past);
      const place: BucketState = { head, entry, content: new Map() };
      const newHead = await inTime(journal.prepare(place, past.revision, newest, [], randomUUID()));
      try {
        await inTime(journal.advance(place, newHead));
      } catch (error) {
        if (error instanceof ConflictError) throw new FluxError('exists', 'The store is not empty', { cause: error });
        throw error;
      }
      return past.revision;
    });
  }

  async compact(limits: HistoryLimits): Promise<boolean> {
    const journal = await this.#open();
    return compactSlice(journal, limits, this.#name);
  }

  async size(): Promise<StoreSize> {
    const journal = await this.#open();
    return { bytes: await inTime(journal.bytes()), historyRows: null };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#link.close();
  }

  /** The journal of the current connection; waits a moment while it is being opened. @throws FluxError `unavailable` */
  async #open(): Promise<RevisionLog> {
    const deadline = steadyNow() + OPERATION_MS;
    for (;;) {
      if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
      if (this.#journal !== null) return this.#journal;
      const { state } = this.#link;
      if (steadyNow() > deadline) {
        throw new FluxError('unavailable', `The store is away: ${state.connected ? 'its bucket is not open yet' : state.reason}`);
      }
      await pause(PAUSE_MS);
    }
  }

  #inLine<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Repeats compare-and-set until no other writer interferes. @throws the FluxErrors of `attempt`; FluxError `unavailable` */
  #write(attempt: (place: BucketState, revision: number) => Attempt): Promise<number> {
    return this.#inLine(async () => {
      const deadline = steadyNow() + OPERATION_MS;
      for (;;) {
        const journal = await this.#open();
        const place = await inTime(journal.read());
        const revision = (place.head?.revision ?? 0) + 1;
        const { rows, pending } = attempt(place, revision);
        const commit = randomUUID();
        const head = await inTime(journal.prepare(place, revision, rows, pending, commit));
        try {
          await inTime(journal.advance(place, head));
          return revision;
        } catch (error) {
          if (await this.#wasWritten(revision, commit, error)) return revision;
          if (!(error instanceof ConflictError)) throw error;
          if (steadyNow() > deadline) throw new FluxError('unavailable', 'The store is too busy: other writers keep changing it');
        }
      }
    });
  }

  /**
   * Looks up whether this commit made the revision, after a failure or a conflict. Even a conflict may be with a copy of this very commit
   * that was sent before. When the revision does not exist yet, a fence makes a late arrival of the write impossible.
   * @throws FluxError `unavailable`, outcome unknown, when the answer does not come in time
   */
  async #wasWritten(revision: number, commit: string, failure: unknown): Promise<boolean> {
    const deadline = steadyNow() + SETTLE_MS;
    for (;;) {
      try {
        const journal = await this.#open();
        const found = await inTime(journal.commitAt(revision));
        if (found !== null) return found === commit;
        await inTime(journal.fence());
        return false;
      } catch (cause) {
        if (steadyNow() < deadline && !this.#isClosed) {
          await pause(PAUSE_MS);
          continue;
        }
        const why = messageOf(failure);
        const message = `The connection to the store broke during the commit (${why}): it is not known whether the change was stored`;
        throw new FluxError('unavailable', message, { data: { reason: 'lost', outcome: 'unknown' } satisfies UnavailableData, cause });
      }
    }
  }

  async #page(journal: RevisionLog, query: HistoryQuery): Promise<HistoryRow[]> {
    const { head } = await journal.head();
    if (head === null) return [];
    const { value } = await journal.compaction();
    const found: HistoryRow[] = [];
    let revisions = 0;
    /** @returns whether the page is full */
    const take = (rows: readonly HistoryRow[]): boolean => {
      const asked = rows.toReversed().filter((row) => matches(row, query));
      if (asked.length === 0) return false;
      if (revisions > 0 && found.length + asked.length > HISTORY_ROWS_MAX) return true;
      found.push(...asked);
      revisions++;
      // Revisions stay whole: `before` cannot name the rest of a revision that is cut in two.
      return revisions >= query.limit;
    };
    let next = Math.min(head.revision, (query.before ?? Number.POSITIVE_INFINITY) - 1);
    while (next > value.floor) {
      const wanted = Array.from({ length: Math.min(HISTORY_STEP, next - value.floor) }, (_, index) => next - index);
      for (const rows of await journal.rowsOf(head, wanted)) if (take(rows)) return structuredClone(found);
      next -= wanted.length;
    }
    const kept = byRevision(await journal.keptRows(head, value));
    for (const [, rows] of [...kept].reverse()) if (take(rows)) break;
    return structuredClone(found);
  }

  async #contentAt(journal: RevisionLog, revision: number): Promise<StoreSnapshot> {
    const { head } = await journal.head();
    const { value } = await journal.compaction();
    if (!Number.isInteger(revision) || revision < value.floor || revision > (head?.revision ?? 0)) throw noSuchRevision(revision);
    const content = head === null ? new Map<string, StoredEndpoint>() : await journal.contentAt(head, revision);
    return structuredClone({ revision, endpoints: [...content.values()], pending: [] });
  }
}

/** Bounds several requests together; each single request has a time limit of its own. */
function inTime<T>(work: Promise<T>): Promise<T> {
  return within(OPERATION_MS, work, () => new FluxError('unavailable', 'The store did not answer in time'));
}
