/** The interest of this node's workers, as other nodes know it, and the news that the next post to them carries. */

import type { InterestPiece } from '../../shared/mesh/snapshot.ts';
import type { Namespace } from '../../shared/routing/namespace.ts';
import type { InterestNews } from '../../shared/wire/controls.ts';
import { InterestSum } from './interest-sum.ts';

/** Collected news. */
export interface OwnNews {
  readonly news: InterestNews[];
  /** to be called when the other nodes know the news */
  readonly markSpread: () => void;
}

export class OwnInterest {
  readonly #sum = new InterestSum(true);
  /** namespace → its news since take() */
  #news = new Map<string, InterestNews>();
  /** promise of the collected news; null: no news wait */
  #spread: { done: Promise<void>; resolve: () => void } | null = null;

  /** Filters and groups that this node announces. */
  get size(): number {
    return this.#sum.size;
  }

  /** Resolves when the other nodes know the collected news; null: no news wait. */
  get spread(): Promise<void> | null {
    return this.#spread?.done ?? null;
  }

  /** The whole interest, the collected news included. */
  pieces(): IterableIterator<InterestPiece> {
    return this.#sum.pieces();
  }

  /** Compares these filters with what the other nodes know, and collects the differences. @returns false when there is no difference */
  add(namespace: Namespace, filters: Iterable<string>): boolean {
    const changes = this.#sum.changes(namespace, filters);
    if (changes === null) return false;
    const known = this.#news.get(changes.namespace);
    if (known === undefined) this.#news.set(changes.namespace, changes);
    else {
      for (const filter of changes.filters) known.filters.push(filter);
      for (const flags of changes.flags) known.flags.push(flags);
      for (const share of changes.shares) known.shares.push(share);
    }
    if (this.#spread === null) {
      let resolve = (): void => {};
      const done = new Promise<void>((then) => {
        resolve = then;
      });
      this.#spread = { done, resolve };
    }
    return true;
  }

  /** The collected news; the collection is empty from then on. Null: no news */
  take(): OwnNews | null {
    if (this.#spread === null) return null;
    const collected = { news: [...this.#news.values()], markSpread: this.#spread.resolve };
    this.#spread = null;
    this.#news = new Map();
    return collected;
  }
}
