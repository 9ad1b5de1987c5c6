/**
 * Documents in the bucket. The key `documents` changes by compare-and-set and holds the newest revision whole, so that a commit is one
 * write. `document.N` follows from it, and is written before the next head replaces this one. `base` holds what a compaction has left.
 */

import { randomUUID } from 'node:crypto';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { pause, within } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type {
  DocumentChange,
  DocumentCommit,
  DocumentLimits,
  DocumentPage,
  DocumentRow,
  DocumentState,
  DocumentStep,
  DocumentStore,
} from '../documents/document-store.ts';
import { checkChanges, type DocumentVersion, documentFloor, documentName, judgeChange } from '../documents/judge-changes.ts';
import type { ChangeMeta, RowPlace } from '../endpoint-store.ts';
import type { UnavailableData } from '../failure-reason.ts';
import { BEGINNING } from '../history-sql.ts';
import { noSuchRevision } from '../replay.ts';
import { type Bucket, type BucketEntry, ConflictError } from './bucket.ts';

const SCHEMA = 1;
const HEAD = 'documents';
/** Requests at one time. */
const AT_ONCE = 16;
/** Time limit of a read of any length, ms: each of its requests has a limit of its own. */
const READ_MS = 20_000;
const OPERATION_MS = 1_900;
const LARGE_CHANGES = 200;
const LARGE_MS = 60_000;
const SETTLE_MS = 8_000;
const PAUSE_MS = 20;
/** Rows of one piece at first; a piece that does not fit into a message is halved. */
const PIECE_ROWS = 500;
/** A base is written when at least so many revisions can go into it. */
const BASE_REVISIONS = 64;

/** Rows that are too many for one message stand in keys of their own, in order; each with the place of its last row. */
type Rows = DocumentRow[] | { parts: ({ key: string } & RowPlace)[] };

/** A revision: its commit, and its rows. */
interface Written extends DocumentCommit {
  commitId: string;
  rows: Rows;
}

interface Head {
  schema: number;
  life: string;
  revision: number;
  floor: number;
  /** the newest version of each document at the floor */
  base: Rows;
  /** null: only the life is known */
  last: Written | null;
}

/** The documents over one bucket at a time; the connection to it may change. */
export class BucketDocuments implements DocumentStore {
  readonly #open: () => Promise<Bucket>;
  /** serializes the commits of this process */
  #queue: Promise<unknown> = Promise.resolve();
  /** the newest version of each document, for the comparison of a commit */
  #known: { life: string; revision: number; versions: Map<string, DocumentVersion> } = { life: '', revision: 0, versions: new Map() };

  /** @param open the bucket of the current connection; rejects with `unavailable` */
  constructor(open: () => Promise<Bucket>) {
    this.#open = open;
  }

  async state(): Promise<DocumentState> {
    return stateOf((await this.#head()).head);
  }

  commit(changes: readonly DocumentChange[], meta: ChangeMeta): Promise<number> {
    try {
      checkChanges(changes);
    } catch (error) {
      return Promise.reject(error);
    }
    const own = changes.map((change) => ({ ...change }));
    const result = this.#queue.then(() => this.#commitNow(own, meta));
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Repeats compare-and-set until no other writer interferes. */
  async #commitNow(changes: readonly DocumentChange[], meta: ChangeMeta): Promise<number> {
    const deadline = steadyNow() + (changes.length > LARGE_CHANGES ? LARGE_MS : OPERATION_MS);
    const commitId = randomUUID();
    for (;;) {
      const bucket = await this.#open();
      const { head, entry } = await this.#head();
      await this.#learn(bucket, head);
      for (const change of changes) judgeChange(change, this.#known.versions.get(documentName(change)));
      const revision = (head?.revision ?? 0) + 1;
      const rows = changes.map(({ kind, key, body }, seq): DocumentRow => ({ revision, seq, kind, key, body }));
      const { action, actor, source, node, requestId, reason } = meta;
      const about = { revision, at: wallNow(), action, actor, source, node, requestId, reason, count: rows.length };
      const last: Written = { ...about, commitId, rows: await wrap(bucket, rows) };
      if (head?.last) await once(bucket, `document.${head.revision}`, head.last);
      const next: Head = {
        schema: SCHEMA,
        life: head?.life ?? randomUUID(),
        revision,
        floor: head?.floor ?? 0,
        base: head?.base ?? [],
        last,
      };
      try {
        await bucket.swap(HEAD, next, entry);
        return revision;
      } catch (error) {
        if (await this.#wasWritten(revision, commitId, error)) return revision;
        if (!(error instanceof ConflictError)) throw error;
        await dropParts(bucket, last.rows);
        if (steadyNow() > deadline) throw new FluxError('unavailable', 'The store is too busy: other writers keep changing it');
      }
    }
  }

  /** Looks up the outcome of a write. When it has not arrived, the head is written once more, so that it cannot arrive later. */
  async #wasWritten(revision: number, commitId: string, failure: unknown): Promise<boolean> {
    const deadline = steadyNow() + SETTLE_MS;
    for (;;) {
      try {
        const bucket = await this.#open();
        const { head, entry } = await this.#head();
        if ((head?.revision ?? 0) >= revision) {
          const written =
            head?.revision === revision ? head.last : ((await bucket.get(`document.${revision}`))?.value as Written | undefined);
          return written?.commitId === commitId;
        }
        if (failure instanceof ConflictError) return false;
        const empty: Head = { schema: SCHEMA, life: randomUUID(), revision: 0, floor: 0, base: [], last: null };
        await bucket.swap(HEAD, head ?? empty, entry);
        return false;
      } catch (cause) {
        if (cause instanceof ConflictError || steadyNow() < deadline) {
          await pause(PAUSE_MS);
          continue;
        }
        const message = `The connection to the store broke during the commit (${messageOf(failure)}): it is not known whether the change was stored`;
        throw new FluxError('unavailable', message, { data: { reason: 'lost', outcome: 'unknown' } satisfies UnavailableData, cause });
      }
    }
  }

  async since(after: RowPlace, limit: number): Promise<DocumentPage> {
    const bucket = await this.#open();
    const { head } = await this.#head();
    if (head === null) return { ...stateOf(null), rows: [], next: null };
    const rows: DocumentRow[] = [];
    const take = (some: readonly DocumentRow[]): boolean => {
      for (const row of some) {
        if (row.revision < after.revision || (row.revision === after.revision && row.seq <= after.seq)) continue;
        rows.push(row);
        if (rows.length === limit) return true;
      }
      return false;
    };
    let isFull = after.revision <= head.floor && (await takeRows(bucket, head.base, after, take));
    for (let revision = Math.max(after.revision, head.floor + 1); revision <= head.revision && !isFull; revision += AT_ONCE) {
      for (const written of await this.#written(bucket, head, revision, Math.min(head.revision, revision + AT_ONCE - 1))) {
        isFull = await takeRows(bucket, written.rows, after, take);
        if (isFull) break;
      }
    }
    const last = isFull ? rows.at(-1) : undefined;
    return { ...stateOf(head), rows, next: last === undefined ? null : { revision: last.revision, seq: last.seq } };
  }

  async former(revision: number, after: Pick<DocumentRow, 'kind' | 'key'> | null, limit: number): Promise<DocumentChange[]> {
    const bucket = await this.#open();
    const { head } = await this.#head();
    if (!Number.isInteger(revision) || revision < (head?.floor ?? 0) || revision > (head?.revision ?? 0)) throw noSuchRevision(revision);
    if (head === null) return [];
    const bodies = new Map<string, string | null>();
    const changed = new Map<string, Pick<DocumentRow, 'kind' | 'key'>>();
    await this.#each(bucket, head, -1, (row) => {
      if (after !== null && inOrder(row, after) <= 0) return;
      if (row.revision > revision) changed.set(documentName(row), row);
      else bodies.set(documentName(row), row.body);
    });
    const sorted = [...changed.values()].sort(inOrder).slice(0, limit);
    return sorted.map(({ kind, key }) => ({ kind, key, body: bodies.get(documentName({ kind, key })) ?? null }));
  }

  async commits(limit: number, before = Number.MAX_SAFE_INTEGER, kind?: string): Promise<DocumentCommit[]> {
    const bucket = await this.#open();
    const { head } = await this.#head();
    if (head === null) return [];
    const found: DocumentCommit[] = [];
    for (let to = Math.min(head.revision, before - 1); to > head.floor && found.length < limit; to -= limit) {
      const written = await this.#written(bucket, head, Math.max(head.floor + 1, to - limit + 1), to);
      for (const { rows, commitId, ...about } of written.toReversed()) {
        if (found.length === limit) break;
        if (kind === undefined || (await takeRows(bucket, rows, BEGINNING, (some) => some.some((row) => row.kind === kind))))
          found.push(about);
      }
    }
    return found;
  }

  async steps(revision: number, afterSeq: number, limit: number): Promise<DocumentStep[]> {
    const bucket = await this.#open();
    const { head } = await this.#head();
    if (head === null || revision > head.revision || revision <= head.floor) return [];
    const before = new Map<string, string | null>();
    const steps: DocumentStep[] = [];
    await this.#each(
      bucket,
      head,
      -1,
      (row) => {
        const name = documentName(row);
        if (row.revision < revision) before.set(name, row.body);
        else if (row.seq > afterSeq && steps.length < limit) steps.push({ ...row, before: before.get(name) ?? null });
      },
      revision,
    );
    return steps;
  }

  /** Puts the oldest revisions into a new base. Another node that writes in between makes the attempt void. */
  async compactDocuments(limits: DocumentLimits): Promise<boolean> {
    const bucket = await this.#open();
    const { head, entry } = await this.#head();
    if (head === null || head.revision - head.floor < BASE_REVISIONS) return false;
    const written = await this.#written(bucket, head, head.floor + 1, head.revision);
    const floor = documentFloor(written.toReversed(), limits);
    if (floor - head.floor < BASE_REVISIONS) return false;
    const newest = new Map<string, DocumentRow>();
    await this.#each(
      bucket,
      head,
      -1,
      (row) => {
        newest.delete(documentName(row));
        if (row.body !== null) newest.set(documentName(row), row);
      },
      floor,
    );
    const base = await wrap(
      bucket,
      [...newest.values()].sort((a, b) => a.revision - b.revision || a.seq - b.seq),
    );
    if (head.last !== null) await once(bucket, `document.${head.revision}`, head.last);
    try {
      await bucket.swap(HEAD, { ...head, floor, base } satisfies Head, entry);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      await dropParts(bucket, base);
      return false;
    }
    await dropParts(bucket, head.base);
    for (const { revision, rows } of written) {
      if (revision > floor) break;
      await dropParts(bucket, rows);
      await bucket.drop([`document.${revision}`]);
    }
    return false;
  }

  async #head(): Promise<{ head: Head | null; entry: BucketEntry | null }> {
    const entry = await (await this.#open()).get(HEAD);
    const head = (entry?.value ?? null) as Head | null;
    if (head !== null && head.schema > SCHEMA)
      throw new FluxError(
        'unavailable',
        `The documents were written by a newer fluxmq (schema ${head.schema}; this version knows ${SCHEMA})`,
      );
    return { head, entry };
  }

  /** The revisions from..to, which exist. @throws FluxError `unavailable`, also when a compaction has just dropped one */
  async #written(bucket: Bucket, head: Head, from: number, to: number): Promise<Written[]> {
    const found: Written[] = [];
    for (let begin = from; begin <= to; begin += AT_ONCE) {
      const revisions = Array.from({ length: Math.min(AT_ONCE, to - begin + 1) }, (_, index) => begin + index);
      const some = revisions.map(async (revision) => {
        if (revision === head.revision && head.last !== null) return head.last;
        const entry = await bucket.get(`document.${revision}`);
        if (entry === null) throw new FluxError('unavailable', `The bucket has no revision ${revision} of the documents any more`);
        return entry.value as Written;
      });
      found.push(...(await Promise.all(some)));
    }
    return found;
  }

  /** Visits the rows behind a revision (-1: all) up to another one, oldest first, in turns of the thread. */
  async #each(bucket: Bucket, head: Head, after: number, visit: (row: DocumentRow) => void, to = head.revision): Promise<void> {
    const pace = new Pace();
    const work = async (): Promise<void> => {
      const visitAll = async (rows: Rows): Promise<void> => {
        for await (const piece of pieces(bucket, rows)) {
          for (const row of piece) visit(row);
          if (pace.isOver) await pace.next();
        }
      };
      if (after < head.floor) await visitAll(head.base);
      for (let revision = Math.max(after, head.floor) + 1; revision <= to; revision += AT_ONCE) {
        for (const { rows } of await this.#written(bucket, head, revision, Math.min(to, revision + AT_ONCE - 1))) await visitAll(rows);
      }
    };
    await within(READ_MS, work(), () => new FluxError('unavailable', 'The store did not answer in time'));
  }

  /** Brings the known versions up to the head. */
  async #learn(bucket: Bucket, head: Head | null): Promise<void> {
    if (head === null || head.life !== this.#known.life || this.#known.revision < head.floor || this.#known.revision > head.revision)
      this.#known = { life: head?.life ?? '', revision: 0, versions: new Map() };
    const known = this.#known;
    if (head === null || known.revision === head.revision) return;
    const visit = (row: DocumentRow): void => {
      if (row.body === null) known.versions.delete(documentName(row));
      else known.versions.set(documentName(row), { revision: row.revision, isLive: true });
    };
    await this.#each(bucket, head, known.revision === 0 ? -1 : known.revision, visit);
    known.revision = head.revision;
  }
}

function stateOf(head: Head | null): DocumentState {
  return { life: head?.life ?? '', revision: head?.revision ?? 0, floor: head?.floor ?? 0 };
}

function inOrder(a: Pick<DocumentRow, 'kind' | 'key'>, b: Pick<DocumentRow, 'kind' | 'key'>): number {
  return Buffer.compare(Buffer.from(a.kind), Buffer.from(b.kind)) || Buffer.compare(Buffer.from(a.key), Buffer.from(b.key));
}

/** Writes rows that are too many for one message as pieces. */
async function wrap(bucket: Bucket, rows: DocumentRow[]): Promise<Rows> {
  if (rows.length <= AT_ONCE && bucket.fits(rows)) return rows;
  const pieces: DocumentRow[][] = [];
  const pace = new Pace();
  const split = async (some: DocumentRow[]): Promise<void> => {
    if (pace.isOver) await pace.next();
    if (some.length > PIECE_ROWS || !bucket.fits(some)) {
      if (some.length === 1) throw new FluxError('too-large', 'One document is larger than a NATS message may be');
      const half = Math.ceil(some.length / 2);
      await split(some.slice(0, half));
      await split(some.slice(half));
    } else pieces.push(some);
  };
  await split(rows);
  const parts = pieces.map((piece) => {
    const { revision, seq } = piece.at(-1)!;
    return { key: `part.${randomUUID()}`, revision, seq };
  });
  for (let from = 0; from < parts.length; from += AT_ONCE) {
    await Promise.all(parts.slice(from, from + AT_ONCE).map(({ key }, index) => bucket.put(key, pieces[from + index], null)));
  }
  return { parts };
}

/** @param after pieces that end there or before are not read */
async function* pieces(bucket: Bucket, rows: Rows, after: RowPlace = BEGINNING): AsyncGenerator<DocumentRow[]> {
  if (Array.isArray(rows)) {
    yield rows;
    return;
  }
  for (const { key, revision, seq } of rows.parts) {
    if (revision < after.revision || (revision === after.revision && seq <= after.seq)) continue;
    const entry = await bucket.get(key);
    if (entry === null) throw new FluxError('unavailable', 'The bucket has no longer a part of a revision of the documents');
    yield entry.value as DocumentRow[];
  }
}

/** @returns true as soon as `take` has enough */
async function takeRows(bucket: Bucket, rows: Rows, after: RowPlace, take: (some: readonly DocumentRow[]) => boolean): Promise<boolean> {
  for await (const piece of pieces(bucket, rows, after)) if (take(piece)) return true;
  return false;
}

async function dropParts(bucket: Bucket, rows: Rows): Promise<void> {
  if (!Array.isArray(rows)) await bucket.drop(rows.parts.map(({ key }) => key));
}

/** Writes a key unless another node wrote the same value. */
async function once(bucket: Bucket, key: string, value: Written): Promise<void> {
  for (;;) {
    const known = await bucket.get(key);
    if (known !== null && (known.value as Written).commitId === value.commitId) return;
    try {
      await bucket.put(key, value, known);
      return;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}
