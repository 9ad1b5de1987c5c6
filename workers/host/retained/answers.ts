/**
 * Answers queries for retained messages in the session worker: page by page, each when its reader has room, in slices of loop iterations.
 */

import { steadyNow } from '../../../src/kernel/clock.ts';
import { Fifo } from '../../../src/kernel/fifo.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Control } from '../../shared/wire/controls.ts';
import type { RetainedStore } from './store.ts';
import { RetainedWalks, type SharedWalk } from './walks.ts';

/** Milliseconds of this work per loop iteration. */
const SLICE_MS = 10;

type Question = Extract<Control, { t: 'retained-get' }>;

interface Answer {
  readonly peer: PeerLink;
  readonly question: Question;
  filterAt: number;
  walk: SharedWalk | null;
  page: number;
  isFresh: boolean;
  /** the answer is queued for a turn */
  isDue: boolean;
  isEnded: boolean;
}

/** Holds one answer for each open query of a connected subscriber, which bounds their number. */
export class RetainedAnswers {
  readonly #mesh: Mesh;
  readonly #walks: RetainedWalks;
  readonly #open = new Map<PeerLink, Map<number, Answer>>();
  readonly #due = new Fifo<Answer>();
  #isScheduled = false;

  #ready: Promise<void> | null;

  /** @param ready answers wait for it; null: they do not wait */
  constructor(mesh: Mesh, store: RetainedStore, ready: Promise<void> | null = null) {
    this.#mesh = mesh;
    this.#ready = ready;
    void ready?.then(() => {
      this.#ready = null;
    });
    this.#walks = new RetainedWalks(store);
  }

  begin(peer: PeerLink, question: Question): void {
    this.end(peer, question.request);
    const { request, from } = question;
    const answer: Answer = { peer, question, filterAt: from, walk: null, page: 0, isFresh: false, isDue: false, isEnded: false };
    const open = this.#open.get(peer) ?? new Map<number, Answer>();
    this.#open.set(peer, open.set(request, answer));
    // Earlier publishes of other peers may still be in their ports.
    const begin = () => this.#mesh.whenDrained(() => this.#want(answer));
    if (this.#ready === null) begin();
    else void this.#ready.then(begin);
  }

  /** Answers a reader with room for a page. @param isFresh the reader's previous page is out of date */
  next(peer: PeerLink, { request, filterAt, page, isFresh }: Extract<Control, { t: 'retained-next' }>): void {
    const answer = this.#open.get(peer)?.get(request);
    if (answer === undefined) return;
    if (filterAt !== answer.filterAt) this.#leave(answer);
    answer.filterAt = filterAt;
    answer.page = page;
    answer.isFresh = isFresh;
    if (isFresh) this.#mesh.whenDrained(() => this.#want(answer));
    else this.#want(answer);
  }

  /** Ends an answer, because its reader has gone. */
  end(peer: PeerLink, request: number): void {
    const open = this.#open.get(peer);
    const answer = open?.get(request);
    if (answer === undefined) return;
    open!.delete(request);
    answer.isEnded = true;
    this.#leave(answer);
  }

  onPeerRemoved(peer: PeerLink): void {
    for (const request of [...(this.#open.get(peer)?.keys() ?? [])]) this.end(peer, request);
    this.#open.delete(peer);
  }

  /** Drops walks without readers. */
  sweep(): void {
    this.#walks.sweep();
  }

  #leave(answer: Answer): void {
    if (answer.walk !== null) this.#walks.leave(answer.walk);
    answer.walk = null;
  }

  #want(answer: Answer): void {
    if (answer.isDue || answer.isEnded) return;
    answer.isDue = true;
    this.#due.push(answer);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#serve);
  }

  readonly #serve = (): void => {
    this.#isScheduled = false;
    const until = steadyNow() + SLICE_MS;
    for (let left = this.#due.length; left > 0 && steadyNow() < until; left--) {
      const answer = this.#due.shift()!;
      answer.isDue = false;
      if (!answer.isEnded && !this.#answer(answer, until)) this.#want(answer);
    }
    if (this.#due.length > 0) this.#schedule();
  };

  /** False when the slice ends before the page is found. */
  #answer(answer: Answer, until: number): boolean {
    const { peer, question } = answer;
    const { request, namespace, filters } = question;
    for (;;) {
      const filter = filters[answer.filterAt];
      if (filter === undefined) {
        peer.control({ t: 'retained-page', request, filterAt: answer.filterAt, at: 0, page: null, isLast: true });
        return true;
      }
      answer.walk ??= this.#walks.open(namespace, filter);
      const page = this.#walks.page(answer.walk, answer.page, answer.isFresh, until);
      if (page === undefined) return false;
      if (page !== null || answer.page > 0) {
        const isLast = this.#walks.isLast(answer.walk, answer.page);
        peer.control({ t: 'retained-page', request, filterAt: answer.filterAt, at: answer.page, page, isLast });
        return true;
      }
      // No message matches this filter.
      this.#leave(answer);
      answer.filterAt++;
    }
  }
}
