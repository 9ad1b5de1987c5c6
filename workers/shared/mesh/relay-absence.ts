/** The time in which a worker of a cluster has no relay: before the first one is linked with the other nodes, and after one has ended. */

/** After this time the worker works without the other nodes, ms: main has not been able to replace the relay. */
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

  /** Resolves when a relay is linked, or is missed; null when there is nothing to wait for. */
  get until(): Promise<void> | null {
    return this.#until;
  }

  /** A relay is away, or has never been there. */
  begin(): void {
    if (this.#until !== null) return;
    this.#until = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The worker has a peer. A worker in reserve waits for nobody. */
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
