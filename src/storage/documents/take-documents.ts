/** Takes the documents of a former LOCAL store into the new store of the node. */

import type { ChangeMeta } from '../endpoint-store.ts';
import { DOCUMENT_CHANGES_MAX, type DocumentChange, type DocumentStore } from './document-store.ts';
import { documentName } from './judge-changes.ts';

const PAGE_ROWS = 2_000;

/**
 * Fills an empty store with the newest version of each document. After a crash, the next start finds its own commits and writes the rest.
 * @param node name of this node, for the history
 * @returns `refused`: the store has documents of other origin, and nothing was written
 * @throws the errors of the stores
 */
export async function takeDocuments(file: DocumentStore, store: DocumentStore, node: string): Promise<'none' | 'taken' | 'refused'> {
  const { life, revision } = await file.state();
  if (revision === 0) return 'none';
  const requestId = `take-local-${life.slice(0, 32)}`;
  const shared = await store.state();
  if (shared.revision > 0) {
    const [first] = await store.commits(1, 2);
    if (first?.requestId !== requestId) return 'refused';
  }
  const changes = await newestOf(file);
  const reason = `taken from the LOCAL store of node ${node}`;
  const meta: ChangeMeta = { action: 'import', actor: 'system', source: 'import', node, requestId, reason };
  const done = shared.revision * DOCUMENT_CHANGES_MAX;
  for (let from = done; from < changes.length; from += DOCUMENT_CHANGES_MAX) {
    await store.commit(changes.slice(from, from + DOCUMENT_CHANGES_MAX), meta);
  }
  return 'taken';
}

/** The newest version of each document, in the order of their last changes. @throws FluxError `unavailable` */
async function newestOf(store: DocumentStore): Promise<DocumentChange[]> {
  const newest = new Map<string, DocumentChange>();
  for (let place: { revision: number; seq: number } | null = { revision: 0, seq: -1 }; place !== null; ) {
    const page: Awaited<ReturnType<DocumentStore['since']>> = await store.since(place, PAGE_ROWS);
    for (const { kind, key, body } of page.rows) {
      newest.delete(documentName({ kind, key }));
      if (body !== null) newest.set(documentName({ kind, key }), { kind, key, body });
    }
    place = page.next;
  }
  return [...newest.values()];
}
