/** One page of a node's clients, by identifier. Short runs are sorted and merged: one sort of all clients would block the thread. */

import { Pace } from '../../kernel/turns/pace.ts';

/** The name of a client in its node. */
export interface ClientName {
  clientId: string;
  namespace: string;
}

/** A connected client and its worker. */
export interface ListedClient<W> extends ClientName {
  worker: W;
}

/** Clients that are sorted at once: about two milliseconds. */
const RUN = 2_048;
/** Clients that are merged between two readings of the clock. */
const MERGED_AT_ONCE = 256;
const SEPARATOR = '\0';

/** By identifier; by namespace where several namespaces have the identifier. */
export function byIdentifier(a: ClientName, b: ClientName): number {
  if (a.clientId !== b.clientId) return a.clientId < b.clientId ? -1 : 1;
  return a.namespace < b.namespace ? -1 : Number(a.namespace > b.namespace);
}

/** Takes clients in any order and returns one page of them. */
export class ClientPage<W> {
  readonly #from: number;
  readonly #end: number;
  readonly #after: ClientName | null;
  readonly #pace = new Pace();
  /** each sorted, and cut at the end of the page */
  readonly #runs: ListedClient<W>[][] = [];
  #run: ListedClient<W>[] = [];
  #total = 0;
  /** clients up to `after` */
  #passed = 0;

  /**
   * @param from clients before the page, 0.. @param size 1..
   * @param after the first page begins behind this client; null: with the first one
   */
  constructor(from: number, size: number, after: ClientName | null = null) {
    this.#from = from;
    this.#end = from + size;
    this.#after = after;
  }

  /** Clients that were added. */
  get total(): number {
    return this.#total + this.#passed;
  }

  /** @param clientIds as a WireClientList has them */
  async add(worker: W, namespace: string, clientIds: string): Promise<void> {
    for (let from = 0; from < clientIds.length; ) {
      const next = clientIds.indexOf(SEPARATOR, from);
      const to = next < 0 ? clientIds.length : next;
      const client = { worker, clientId: clientIds.slice(from, to), namespace };
      from = to + 1;
      if (this.#after !== null && byIdentifier(client, this.#after) <= 0) {
        if (++this.#passed % RUN !== 0) continue;
      } else {
        this.#run.push(client);
        if (this.#run.length < RUN) continue;
        this.#endRun();
      }
      if (this.#pace.isOver) await this.#pace.next();
    }
  }

  #endRun(): void {
    this.#total += this.#run.length;
    this.#run.sort(byIdentifier);
    // A client behind the page's end in its own run is behind the page in all of them.
    if (this.#run.length > this.#end) this.#run.length = this.#end;
    if (this.#run.length > 0) this.#runs.push(this.#run);
    this.#run = [];
  }

  /** The clients of the page, in order. Call it once, after all clients were added. */
  async take(): Promise<ListedClient<W>[]> {
    this.#endRun();
    if (this.#total <= this.#from) return [];
    let level = this.#runs;
    while (level.length > 1) {
      const merged: ListedClient<W>[][] = [];
      for (let i = 0; i < level.length; i += 2) merged.push(await this.#merge(level[i]!, level[i + 1] ?? []));
      level = merged;
    }
    return (level[0] ?? []).slice(this.#from, this.#end);
  }

  /** Merges two runs, up to the end of the page. */
  async #merge(a: readonly ListedClient<W>[], b: readonly ListedClient<W>[]): Promise<ListedClient<W>[]> {
    const length = Math.min(a.length + b.length, this.#end);
    const merged: ListedClient<W>[] = [];
    for (let i = 0, j = 0; merged.length < length; ) {
      const [left, right] = [a[i], b[j]];
      if (right === undefined || (left !== undefined && byIdentifier(left, right) <= 0)) {
        merged.push(left!);
        i++;
      } else {
        merged.push(right);
        j++;
      }
      if (merged.length % MERGED_AT_ONCE === 0 && this.#pace.isOver) await this.#pace.next();
    }
    return merged;
  }
}
