/** The drain of one endpoint: begun, replaced, cancelled, and followed until the last client has gone. */

import { wallNow } from '../../../kernel/clock.ts';
import type { Lingering } from '../lingering.ts';
import type { RemoteListener } from '../remote-listener.ts';
import { type DrainWish, orderOf } from './drain-order.ts';

/** Progress of a drain. */
export interface DrainStatus {
  /** clients at the beginning */
  total: number;
  left: number;
  /** moment of the last disconnection, ISO 8601 */
  until: string;
}

interface Part {
  listener: { cancelDrain(timeoutMs: number): Promise<void> };
  /** clients of the listener that are still to be disconnected */
  left(): number;
}

/** Clients still to be disconnected, over all parts. */
function leftOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.left(), 0);
}

/** The drain of an endpoint that is under way. There is one at a time, because each covers all clients to be disconnected. */
export class Drains {
  #current: { total: number; untilMs: number; parts: Part[] } | null = null;
  /** called when a drain begins, ends or is cancelled */
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Null when no drain is under way. */
  get status(): DrainStatus | null {
    if (this.#current === null) return null;
    const { total, untilMs, parts } = this.#current;
    return { total, left: Math.min(leftOf(parts), total), until: new Date(untilMs).toISOString() };
  }

  /**
   * Disconnects the clients of lingering listeners, and those that connected to present listeners before the last rebind. Replaces a drain
   * under way.
   * @returns settles when the last of these clients is gone, or the drain is cancelled or replaced
   */
  async begin(wish: DrainWish, lingering: Lingering, present: readonly RemoteListener[]): Promise<void> {
    const gone = lingering.listeners;
    const parts = [
      ...gone.map((listener) => ({ listener, left: () => listener.connections })),
      ...present.map((listener) => ({ listener, left: () => listener.formerConnections })),
    ];
    const drain = orderOf(wish, leftOf(parts));
    const drained = Promise.all([
      ...gone.map((listener) => lingering.close(listener, drain)),
      ...present.map((listener) => listener.drainFormer(drain)),
    ]);
    this.#follow(drain.ms, parts, drained);
    await drained;
  }

  #follow(ms: number, parts: Part[], ended: Promise<unknown>): void {
    const total = leftOf(parts);
    if (total === 0) return;
    const drain = { total, untilMs: wallNow() + ms, parts };
    this.#current = drain;
    this.#onChange();
    void ended.then(() => {
      if (this.#current !== drain) return;
      this.#current = null;
      this.#onChange();
    });
  }

  /** Lets the remaining clients stay. @returns false when no drain was under way */
  async cancel(timeoutMs: number): Promise<boolean> {
    if (this.#current === null) return false;
    await Promise.all(this.#current.parts.map(({ listener }) => listener.cancelDrain(timeoutMs)));
    return true;
  }
}
