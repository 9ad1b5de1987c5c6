/** One page over the clients of several nodes: each node names its clients in order, piece by piece, and the pieces are merged. */

import { FluxError } from '../../../kernel/errors.ts';
import { Pace } from '../../../kernel/turns/pace.ts';
import { byIdentifier, type ClientName } from '../../clients/client-page.ts';
import type { AskedNode } from '../questions.ts';
import { type NamesQuestion, PIECE_ENTRIES, readNamesAnswer } from './forms.ts';

/** Clients before the end of a page that is merged. Every node lists its clients anew for each piece, and the page of one node needs no merge. */
const MERGED_MAX = 20_000;
/** Clients that are merged between two readings of the clock. */
const MERGED_AT_ONCE = 256;

/** The names of one other node, in order. A node that fails has none from then on. */
export class NameStream {
  readonly node: AskedNode;
  /** connected clients of the node */
  total = 0;
  /** the error that ended the stream; null: none */
  failure: unknown = null;
  readonly #ask: (question: NamesQuestion) => Promise<unknown>;
  #question: NamesQuestion;
  #names: ClientName[] = [];
  #at = 0;
  #hasMore = true;

  /** @param query count: most names that are needed */
  constructor(node: AskedNode, ask: (question: NamesQuestion) => Promise<unknown>, query: Omit<NamesQuestion, 'after'>) {
    this.node = node;
    this.#ask = ask;
    this.#question = { ...query, count: Math.min(query.count, PIECE_ENTRIES), after: null };
  }

  /** Asks for the first piece, so that all nodes work side by side. */
  begin(): Promise<void> {
    return this.#refill();
  }

  /** The next name; undefined at the end, or when the next piece has to be asked for: see more(). */
  peek(): ClientName | undefined {
    return this.#names[this.#at];
  }

  next(): void {
    this.#at++;
  }

  /** Null: the next name is known, or the stream has ended. */
  more(): Promise<void> | null {
    return this.#at < this.#names.length || !this.#hasMore ? null : this.#refill();
  }

  async #refill(): Promise<void> {
    try {
      const { total, names, hasMore } = readNamesAnswer(await this.#ask(this.#question));
      this.total = total;
      this.#names = names;
      this.#at = 0;
      this.#hasMore = hasMore;
      this.#question = { ...this.#question, skip: 0, after: names.at(-1) ?? null };
    } catch (error) {
      this.failure = error;
      this.#names = [];
      this.#at = 0;
      this.#hasMore = false;
    }
  }
}

export interface MergedPage {
  /** clients of this node */
  own: ClientName[];
  /** clients of another node */
  of(node: AskedNode): readonly ClientName[];
}

/**
 * @param own the names of this node, in order, up to the end of the page
 * @param streams begun
 * @throws FluxError `invalid` for a page too far behind
 */
export async function mergedPage(
  own: readonly ClientName[],
  streams: readonly NameStream[],
  { from, size }: { from: number; size: number },
): Promise<MergedPage> {
  const page: MergedPage & { named: Map<AskedNode, ClientName[]> } = {
    own: [],
    named: new Map(),
    of: (node) => page.named.get(node) ?? [],
  };
  const known = streams.reduce((sum, { total }) => sum + total, own.length);
  if (known <= from) return page;
  if (from + size > MERGED_MAX && known > MERGED_MAX) {
    const message = `of several nodes the first ${MERGED_MAX} clients are listed in order: ask node by node (node=NAME)`;
    throw new FluxError('invalid', `The page is too far behind: ${message}`, { issues: [{ path: 'page', message }] });
  }
  const pace = new Pace();
  let ownAt = 0;
  for (let taken = 0; taken < from + size; taken++) {
    for (const stream of streams) {
      const refilled = stream.more();
      if (refilled !== null) await refilled;
    }
    let best: NameStream | null = null;
    let name = own[ownAt];
    for (const stream of streams) {
      const theirs = stream.peek();
      if (theirs === undefined || (name !== undefined && byIdentifier(name, theirs) <= 0)) continue;
      name = theirs;
      best = stream;
    }
    if (name === undefined) return page;
    if (best === null) ownAt++;
    else best.next();
    if (taken >= from) keep(page, best, name);
    if (taken % MERGED_AT_ONCE === 0 && pace.isOver) await pace.next();
  }
  return page;
}

function keep(page: { own: ClientName[]; named: Map<AskedNode, ClientName[]> }, stream: NameStream | null, name: ClientName): void {
  if (stream === null) {
    page.own.push(name);
    return;
  }
  const of = page.named.get(stream.node);
  if (of === undefined) page.named.set(stream.node, [name]);
  else of.push(name);
}
