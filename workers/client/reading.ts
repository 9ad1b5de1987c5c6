/** A client's questions for retained messages, and those of them that wait until it has read what it was sent. Made with the first question. */

export class Reading {
  readonly #queries = new Set<{ end(): void }>();
  #waiting: (() => void)[] = [];

  /** The question ends with the client, at the latest. */
  add(query: { end(): void }): void {
    this.#queries.add(query);
  }

  /** The question has been answered. */
  remove(query: { end(): void }): void {
    this.#queries.delete(query);
  }

  /** Calls `go` when the client has read what it was sent; never, if it leaves before. */
  whenWritable(go: () => void): void {
    this.#waiting.push(go);
  }

  /** The client has read what it was sent. */
  onWritable(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /** The client leaves. */
  end(): void {
    this.#waiting = [];
    for (const query of this.#queries) query.end();
    this.#queries.clear();
  }
}
