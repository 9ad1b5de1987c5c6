/** Interest that this worker announces to its peers, and the barriers that wait until the peers have applied it. */

import type { Control, InterestNews, MoveNews } from '../wire/controls.ts';
import type { PeerLink } from './peer-link.ts';
import { noNews } from './snapshot.ts';

interface Barrier {
  /** peers that have not answered */
  readonly waiting: Set<number>;
  readonly move: number | null;
  readonly resolve: () => void;
}

/** News that the next post carries. Further news of the same loop iteration join them. */
interface Collected {
  readonly control: Extract<Control, { t: 'interest' }>;
  readonly byNamespace: Map<string, InterestNews>;
  /** resolves when all peers have applied the news; null: no caller waits for that yet */
  taken: Promise<void> | null;
}

export class Announcements {
  readonly #links: ReadonlyMap<number, PeerLink>;
  readonly #onMoveAcknowledged: (move: number, peer: PeerLink) => void;
  readonly #barriers = new Map<number, Barrier>();
  #collected: Collected | null = null;
  #lastRequest = 0;

  /** @param links the peers of this worker, by their ids */
  constructor(links: ReadonlyMap<number, PeerLink>, onMoveAcknowledged: (move: number, peer: PeerLink) => void) {
    this.#links = links;
    this.#onMoveAcknowledged = onMoveAcknowledged;
  }

  /** Adds news to the next post. @returns resolves when each peer has applied the news, or has gone */
  announce(news: InterestNews): Promise<void> {
    const collected = this.#collect(news);
    if (collected.taken === null) {
      collected.control.request = ++this.#lastRequest;
      collected.taken = this.#whenTaken(collected.control.request, this.#links.keys(), null);
    }
    return collected.taken;
  }

  /** Like announce(), in a control of its own, for the filters of a session that moves here. */
  announceMove(news: InterestNews, move: MoveNews): Promise<void> {
    this.close();
    const request = ++this.#lastRequest;
    for (const link of this.#links.values()) link.control({ t: 'interest', request, news: [news], move });
    return this.#whenTaken(request, this.#links.keys(), move.id);
  }

  /** Adds news to the next post, and waits for no peer. */
  tell(news: InterestNews): void {
    this.#collect(news);
  }

  /** The news collected so far are complete: later news get a control of their own, behind all that is posted in between. */
  close(): void {
    this.#collected = null;
  }

  /** Asks peers for an answer without news. @returns resolves when each has answered, or has gone */
  fence(links: readonly PeerLink[]): Promise<void> {
    const request = ++this.#lastRequest;
    for (const link of links) link.control({ t: 'interest', request, news: [], move: null });
    const ids = links.map((link) => link.id);
    return this.#whenTaken(request, ids, null);
  }

  /** A peer has applied the news of this request. */
  answered(link: PeerLink, request: number): void {
    const barrier = this.#barriers.get(request);
    if (barrier !== undefined) this.#passed(request, barrier, link);
  }

  /** The peer has gone: no barrier waits for it. */
  forget(link: PeerLink): void {
    for (const [request, barrier] of [...this.#barriers]) this.#passed(request, barrier, link);
  }

  #collect({ namespace, filters, flags, shares }: InterestNews): Collected {
    let collected = this.#collected;
    if (collected === null) {
      collected = { control: { t: 'interest', request: 0, news: [], move: null }, byNamespace: new Map(), taken: null };
      this.#collected = collected;
      for (const link of this.#links.values()) link.control(collected.control);
    }
    let news = collected.byNamespace.get(namespace);
    if (news === undefined) {
      news = noNews(namespace);
      collected.byNamespace.set(namespace, news);
      collected.control.news.push(news);
    }
    // The order matters: the last entry of a filter counts.
    for (const filter of filters) news.filters.push(filter);
    for (const each of flags) news.flags.push(each);
    for (const share of shares) news.shares.push(share);
    return collected;
  }

  #whenTaken(request: number, peers: Iterable<number>, move: number | null): Promise<void> {
    return new Promise((resolve) => this.#barriers.set(request, { waiting: new Set(peers), move, resolve }));
  }

  #passed(request: number, barrier: Barrier, link: PeerLink): void {
    if (!barrier.waiting.delete(link.id)) return;
    if (barrier.move !== null) this.#onMoveAcknowledged(barrier.move, link);
    if (barrier.waiting.size > 0) return;
    this.#barriers.delete(request);
    barrier.resolve();
  }
}
