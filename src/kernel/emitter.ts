/** Events within one thread: any number of subscribers, and each can undo its subscription. */

/** The side of the subscribers. `A` are the arguments of each event. */
export interface Subscribable<A extends unknown[] = []> {
  /** Calls `listener` at each event, synchronously, in the order of the subscriptions. @returns undoes this subscription; idempotent */
  subscribe(listener: (...event: A) => void): () => void;
}

export class Emitter<A extends unknown[] = []> implements Subscribable<A> {
  /** by subscription: one function may subscribe twice */
  readonly #listeners = new Map<object, (...event: A) => void>();

  subscribe(listener: (...event: A) => void): () => void {
    const subscription = {};
    this.#listeners.set(subscription, listener);
    return () => void this.#listeners.delete(subscription);
  }

  /** Calls every subscriber. The error of a subscriber passes through, and later subscribers miss the event. */
  emit(...event: A): void {
    for (const listener of [...this.#listeners.values()]) listener(...event);
  }
}
