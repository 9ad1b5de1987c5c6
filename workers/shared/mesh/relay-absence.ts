/** The time in which a worker of a cluster has no relay: before the first relay is linked with the other nodes, and after a relay has ended. */

/** After this time without a relay the worker works without the other nodes (ms). */
const MISSED_MS = 5_000;

export class RelayAbsence {
  readonly #onMissed: () => void;
  #until: Promise<void> | null = null;
  #resolve: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  /** @param onMissed called when the wait is over without a relay */
  constructor(onMissed: () => void) {
    this.#onMissed = onMissed;
    this.begin();
  }

  /** Resolves when a relay is linked, or is missed; null while a relay is linked. */
  get until(): Promise<void> | null {
    return this.#until;
  }

  /** No relay is linked any more, or none has been so far. */
  begin(): void {
    if (this.#until !== null) return;
    this.#until = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Starts the time limit, because the worker has a peer. A spare worker has no peer and no limit. */
  arm(): void {
    if (this.#until === null || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.end();
      this.#onMissed();
    }, MISSED_MS);
    this.#timer.unref();
  }

  /** A relay is linked. */
  end(): void {
    clearTimeout(this.#timer);
    this.#until = null;
    this.#resolve();
  }
}
