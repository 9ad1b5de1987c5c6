/** Commits changes of documents, and waits until this node and the others have them. */

import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { DocumentChange, DocumentStore } from '../../storage/documents/document-store.ts';
import type { ChangeMeta } from '../../storage/endpoint-store.ts';
import type { NodeOutcome } from '../contract/answers.ts';
import type { RequestContext } from '../contract/request-parts.ts';

export interface DocumentChangesOptions {
  store: DocumentStore;
  /** reads everything that was committed before the call, and puts it into force on this node */
  learn: () => Promise<void>;
  /** name of this node */
  node: string;
  /** asks the other nodes to do the same up to a revision; one outcome for each */
  spread: (revision: number, waitMs: number) => Promise<NodeOutcome[]>;
}

/** What became of a commit. */
export interface CommittedDocuments {
  revision: number;
  nodes: NodeOutcome[];
}

/** Attempts of a change when other nodes are first. */
const ATTEMPTS = 3;

export class DocumentChanges {
  readonly #options: DocumentChangesOptions;

  constructor(options: DocumentChangesOptions) {
    this.#options = options;
  }

  /** Writes all changes or none. @throws the errors of DocumentStore.commit(); a node that has not applied them yet is no error */
  async commit(
    changes: readonly DocumentChange[],
    action: ChangeMeta['action'],
    { actor, source, requestId, reason, timeoutMs }: RequestContext,
  ): Promise<CommittedDocuments> {
    const { store, learn, node, spread } = this.#options;
    const until = steadyNow() + timeoutMs;
    const revision = await store.commit(changes, { action, actor, source, node, requestId, reason });
    const others = spread(revision, Math.max(1, until - steadyNow()));
    const own: NodeOutcome = await learn().then(
      () => ({ node, state: 'applied', reason: null }),
      (error: Error) => ({ node, state: 'pending', reason: error.message }),
    );
    return { revision, nodes: [own, ...(await others)] };
  }

  /** Tries a change that depends on what it changes, and again when another node was first. @throws the error of the last attempt */
  async attempt<T>({ expectedRevision }: RequestContext, change: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await change();
      } catch (error) {
        const isLate = error instanceof FluxError && error.kind === 'revision-mismatch';
        if (!isLate || expectedRevision !== null || attempt === ATTEMPTS) throw error;
        await this.#options.learn();
      }
    }
  }
}
