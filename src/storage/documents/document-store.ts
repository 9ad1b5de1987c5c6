/**
 * The contract of the documents: node-wide records that are no endpoints, for example users. A document has a kind, a key and a body. All
 * implementations pass test/contract/document-suite.
 */

import type { ChangeMeta, EndpointStore, RowPlace } from '../endpoint-store.ts';

/** One change of a commit. */
export interface DocumentChange {
  /** 1..16 characters */
  kind: string;
  /** 1..KEY_MAX characters; the last one is no blank, because MySQL compares texts without trailing blanks */
  key: string;
  /** text, which the store does not read; null removes the document */
  body: string | null;
  /** the revision of the document's last change that must still hold (0: the document must not exist); absent: is not compared */
  expected?: number;
}

/** One version of a document. A removal is a version, too. */
export interface DocumentRow {
  revision: number;
  /** place within its revision, 0.. */
  seq: number;
  kind: string;
  key: string;
  /** null: the revision removed the document */
  body: string | null;
}

/** A row of the history, with the version that it replaced. */
export interface DocumentStep extends DocumentRow {
  /** null: the document did not exist, or the store has dropped its older versions */
  before: string | null;
}

/** The author, time and size of one revision. */
export interface DocumentCommit extends ChangeMeta {
  revision: number;
  /** milliseconds since the epoch */
  at: number;
  /** number of changed documents */
  count: number;
}

/** The state of the store. */
export interface DocumentState {
  /** made with the store: tells an emptied store from an older state of the same one; empty text: the store is empty and has none yet */
  life: string;
  /** of the newest change, 0: none */
  revision: number;
  /** up to this revision only the newest version of each document is left, and no removals */
  floor: number;
}

/** Versions in the order in which they were written. */
export interface DocumentPage extends DocumentState {
  rows: DocumentRow[];
  /** behind the last row of the page; null when no rows follow */
  next: RowPlace | null;
}

/** The limits of the history of documents. Versions beyond both may be dropped. */
export interface DocumentLimits {
  /** changed documents of the newest revisions, 0.. */
  keep: number;
  /** revisions of this moment or later stay; milliseconds since the epoch */
  since: number;
}

/** Changes that one commit takes at most. */
export const DOCUMENT_CHANGES_MAX = 100_000;
/** Characters of a key. */
export const DOCUMENT_KEY_MAX = 512;
/** Characters of a body. */
export const DOCUMENT_BODY_MAX = 256 * 1024;

export interface DocumentStore {
  /** @throws FluxError `unavailable` */
  state(): Promise<DocumentState>;
  /**
   * Writes all changes or none, as one new revision, which is durable when the promise resolves.
   * @returns the new revision (previous + 1)
   * @throws FluxError `revision-mismatch` or `exists` (an expectation failed), `not-found` (removal of a document that does not exist),
   *   `invalid` (no change, too many, one document twice, a key or body out of its limits), `unavailable` (nothing was written or, with
   *   `data.outcome` 'unknown', the change may have been)
   */
  commit(changes: readonly DocumentChange[], meta: ChangeMeta): Promise<number>;
  /**
   * The versions behind a place, at most `limit`. A page may end inside a revision. A reader whose revision is below the floor has to begin
   * anew at 0, and forgets what it then does not find. @throws FluxError `unavailable`
   */
  since(after: RowPlace, limit: number): Promise<DocumentPage>;
  /**
   * The documents that changed after a revision, each as it was right after that revision; ordered by kind and key.
   * @param after begin behind this document; null: at the first one
   * @throws FluxError `not-found` when the history does not reach back to the revision, `unavailable`
   */
  former(revision: number, after: Pick<DocumentRow, 'kind' | 'key'> | null, limit: number): Promise<DocumentChange[]>;
  /** Newest first. @param before only smaller revisions @param kind only those that changed such a document @throws FluxError `unavailable` */
  commits(limit: number, before?: number, kind?: string): Promise<DocumentCommit[]>;
  /** The changes of one revision behind a place in it (-1: from the first). @throws FluxError `unavailable` */
  steps(revision: number, afterSeq: number, limit: number): Promise<DocumentStep[]>;
  /** Drops some of what is beyond the limits. @returns whether more may be left to drop @throws FluxError `unavailable` */
  compactDocuments(limits: DocumentLimits): Promise<boolean>;
}

/** The whole store of a node. */
export interface NodeStore extends EndpointStore {
  /** what the node keeps beside its endpoints, with revisions of its own */
  readonly documents: DocumentStore;
}
