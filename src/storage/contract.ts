/** The store contract: where endpoint configuration and its history live. All implementations pass test/contract/store. */

import type { Endpoint } from '../endpoint/endpoint.ts';

/** One endpoint as stored, with the revision of its last change. */
export interface StoredEndpoint {
  endpoint: Endpoint;
  revision: number;
}

/** A change that is undone unless it is confirmed in time (`?confirmWithin=`); kept in the store, so that the undoing survives the process. */
export interface PendingConfirm {
  /** the revision that waits */
  revision: number;
  /** milliseconds since the epoch */
  until: number;
}

/** Everything at one moment. `revision` is the newest change of the whole store, 0 for an empty one. */
export interface StoreSnapshot {
  revision: number;
  endpoints: StoredEndpoint[];
  /** by revision */
  pending: PendingConfirm[];
  /** the store is away, and why: this is what was known of it at `savedAt` (ISO 8601). Only a node's first load may get such an answer */
  away?: { reason: string; savedAt: string };
}

/** Stands for the whole configuration among the ids that a commit compares: no endpoint has this id. */
export const WHOLE = '*';

/** What a commit does beside its changes, in the same transaction. */
export interface CommitOptions {
  /** milliseconds since the epoch: the new revision becomes a PendingConfirm */
  confirmUntil?: number;
  /** this commit undoes what that revision did: its PendingConfirm ends; when there is none (any more), nothing is written */
  settles?: number;
}

/** One row change: put writes the whole endpoint, remove deletes by id. */
export type StoreChange = { kind: 'put'; endpoint: Endpoint } | { kind: 'remove'; id: string };

/** Who did it and why; goes into the history rows. */
export interface ChangeMeta {
  action: 'add' | 'update' | 'remove' | 'enable' | 'disable' | 'import' | 'rollback' | 'restore' | 'seed';
  actor: string;
  source: 'http' | 'nats' | 'file' | 'rollback' | 'import';
  node: string;
  requestId: string;
  reason: string | null;
}

/** One immutable history row; a commit of n changes writes n rows of one revision. */
export interface HistoryRow extends ChangeMeta {
  revision: number;
  /** milliseconds since the epoch */
  at: number;
  id: string;
  port: number;
  before: Endpoint | null;
  after: Endpoint | null;
}

export interface HistoryQuery {
  port?: number;
  id?: string;
  /** exactly this actor */
  actor?: string;
  /** rows of this moment or later; milliseconds since the epoch */
  since?: number;
  /** rows before this moment; milliseconds since the epoch */
  until?: number;
  /** revisions at most, 1..1000 */
  limit: number;
  /** only rows with a smaller revision */
  before?: number;
}

/** A place between two rows of the history: behind row `seq` of a revision. */
export interface RowPlace {
  revision: number;
  seq: number;
}

/** Rows in the order in which they were written. */
export interface RowPage {
  rows: HistoryRow[];
  /** behind the last of them; null: there are no more */
  next: RowPlace | null;
  /** see Past.floor */
  floor: number;
}

/** A whole history, as a backup has it. */
export interface Past {
  /** the newest revision */
  revision: number;
  /** up to this revision only the newest row of each endpoint is left; 0: nothing was dropped */
  floor: number;
  /** Rows oldest first, in pieces of a bounded size; each call begins anew. */
  pieces(): AsyncIterable<HistoryRow[]>;
}

/** What may be dropped: rows that are beyond both limits. */
export interface HistoryLimits {
  /** the newest rows, 0.. */
  keep: number;
  /** rows of this moment or later stay; milliseconds since the epoch */
  since: number;
  /** revisions from here on stay, because they wait for a confirmation */
  waiting: number;
}

/** What a store takes on its disk. */
export interface StoreSize {
  /** null: not known */
  bytes: number | null;
  /** null: not known */
  historyRows: number | null;
}

export interface EndpointStore {
  /** The whole content. @throws FluxError `unavailable` */
  load(): Promise<StoreSnapshot>;
  /**
   * All changes or none, as one new revision, durable when it resolves.
   * `expected` maps an endpoint id to the revision that it must still have (0 = must not exist), and WHOLE to
   * the newest revision of the whole store; what is not named is not compared.
   * Port and id uniqueness are checked again inside the transaction. A connection that breaks in the middle: the outcome is looked up.
   * @returns the new revision (previous + 1)
   * @throws FluxError `revision-mismatch` (an expectation failed), `exists` (id or port taken), `not-found` (remove of nothing, or `settles`
   *   does not wait), `unavailable` (within 2 s; nothing was written, or, with `data.outcome` 'unknown', it may have been)
   */
  commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options?: CommitOptions): Promise<number>;
  /**
   * Newest first: at most `limit` revisions, each whole, and fewer of them when they have very many rows (HISTORY_ROWS_MAX), so that a page
   * that is not empty does not mean that there is no next one. @throws FluxError `unavailable`
   */
  history(query: HistoryQuery): Promise<HistoryRow[]>;
  /**
   * The endpoints as they were right after `revision` (0: none), each with the revision of its last change by then; `pending` is empty.
   * @throws FluxError `not-found` when the store has no such revision, or no history so far back; `unavailable`
   */
  at(revision: number): Promise<StoreSnapshot>;
  /** Ends the PendingConfirm of the revision: the change stays. @throws FluxError `not-found` when it does not wait (any more), `unavailable` */
  confirm(revision: number): Promise<void>;
  /** The next rows of the history behind a place, at most `limit`; a revision may be cut. @throws FluxError `unavailable` */
  rows(after: RowPlace, limit: number): Promise<RowPage>;
  /**
   * Fills an empty store (revision 0) with a history from a backup: its rows with their revisions, and what they lead to as endpoints.
   * @returns the newest revision
   * @throws FluxError `exists` when the store is not empty, `invalid` when the rows do not fit together, `unavailable`
   */
  adopt(past: Past): Promise<number>;
  /**
   * Drops a slice of the rows that are beyond the limits, never the newest row of an endpoint that exists. One node of a cluster does so at a
   * time. @returns whether there may be more to drop @throws FluxError `unavailable`
   */
  compact(limits: HistoryLimits): Promise<boolean>;
  /** @throws FluxError `unavailable` */
  size(): Promise<StoreSize>;
  /** Releases files and connections; further calls reject. Idempotent. */
  close(): Promise<void>;
}
