/** A client's queries for retained messages, and the callbacks that wait until the client has read its output. The first query makes it. */

export class Reading {
  readonly #queries = new Set<{ end(): void }>();
  #waiting: (() => void)[] = [];

  /** Adds a query. end() ends it unless remove() comes first. */
  add(query: { end(): void }): void {
    this.#queries.add(query);
  }

  /** Removes an answered query. */
  remove(query: { end(): void }): void {
    this.#queries.delete(query);
  }

  /** Calls `go` when the client has read its output, or never when the client leaves before. */
  whenWritable(go: () => void): void {
    this.#waiting.push(go);
  }

  /** The client has read its output. */
  onWritable(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /** Ends all queries, because the client leaves. */
  end(): void {
    this.#waiting = [];
    for (const query of this.#queries) query.end();
    this.#queries.clear();
  }
}
