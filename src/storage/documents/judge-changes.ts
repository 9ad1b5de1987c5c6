/** The meaning of a commit of documents, shared by all stores. Pure. */

import { FluxError } from '../../kernel/errors.ts';
import { DOCUMENT_BODY_MAX, DOCUMENT_CHANGES_MAX, DOCUMENT_KEY_MAX, type DocumentChange, type DocumentLimits } from './document-store.ts';

const KIND_MAX = 16;

/** The newest version of a document. */
export interface DocumentVersion {
  revision: number;
  /** false: it is a removal */
  isLive: boolean;
}

/** @throws FluxError `invalid`: the form of the changes is wrong */
export function checkChanges(changes: readonly DocumentChange[]): void {
  if (changes.length === 0) throw new FluxError('invalid', 'A commit needs at least one change');
  if (changes.length > DOCUMENT_CHANGES_MAX)
    throw new FluxError('invalid', `A commit takes at most ${DOCUMENT_CHANGES_MAX} changes, not ${changes.length}`);
  const seen = new Set<string>();
  for (const { kind, key, body } of changes) {
    if (kind.length < 1 || kind.length > KIND_MAX) throw new FluxError('invalid', `The kind of a document has 1..${KIND_MAX} characters`);
    if (key.length < 1 || key.length > DOCUMENT_KEY_MAX || key.endsWith(' ') || key.includes('\0'))
      throw new FluxError('invalid', `The key of a document has 1..${DOCUMENT_KEY_MAX} characters, no NUL, and no blank at its end`);
    if (body !== null && body.length > DOCUMENT_BODY_MAX)
      throw new FluxError('too-large', `${kind} ${key} has ${body.length} characters; a document has at most ${DOCUMENT_BODY_MAX}`);
    const name = documentName({ kind, key });
    if (seen.has(name)) throw new FluxError('invalid', `${kind} ${key} is changed twice in one commit`);
    seen.add(name);
  }
}

/** One text for kind and key. */
export function documentName({ kind, key }: Pick<DocumentChange, 'kind' | 'key'>): string {
  return `${kind}\n${key}`;
}

/** True when the store has to look the document up before it writes the change. */
export function needsVersion({ body, expected }: DocumentChange): boolean {
  return body === null || expected !== undefined;
}

/** Compares a change with the newest version of its document. @throws FluxError `revision-mismatch`, `exists`, `not-found` */
export function judgeChange({ kind, key, body, expected }: DocumentChange, newest: DocumentVersion | undefined): void {
  const revision = newest?.isLive === true ? newest.revision : 0;
  if (expected !== undefined && expected !== revision) {
    if (expected === 0) throw new FluxError('exists', `${kind} ${key} exists already`);
    throw new FluxError('revision-mismatch', `${kind} ${key} is at revision ${revision}, not ${expected}`);
  }
  if (body === null && revision === 0) throw new FluxError('not-found', `There is no ${kind} ${key}`);
}

/**
 * The revision up to which versions may be dropped.
 * @param newest revisions, newest first: enough of them to have more than `keep` changes
 */
export function documentFloor(newest: readonly { revision: number; at: number; count: number }[], { keep, since }: DocumentLimits): number {
  let kept = 0;
  for (const { revision, at, count } of newest) {
    kept += count;
    if (kept > keep && at < since) return revision;
  }
  return 0;
}
