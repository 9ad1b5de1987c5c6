/** The request to disconnect the clients that a change leaves behind, and the progress of the disconnection. */

import { wallNow } from '../../kernel/clock.ts';
import type { Drain } from '../../thread/messages.ts';

/** How clients of a listener that stops are disconnected. */
export interface DrainRequest {
  /** time over which the disconnections are spread, milliseconds, 0..3600000 */
  drainMs: number;
  /** clients a second over all workers, 1..1000000, in place of `drainMs`; null: not requested */
  drainRate: number | null;
  /** Server Reference for MQTT 5 clients; null: none */
  redirect: string | null;
}

/** Clients stay where that is possible; elsewhere they are disconnected at once. */
export const NO_DRAIN: DrainRequest = { drainMs: 0, drainRate: null, redirect: null };

/** DISCONNECT reason: the endpoint was removed, disabled or changed by an administrator [MQTT-3.14.2-1]. */
export const ADMINISTRATIVE_ACTION = 0x98;
/** DISCONNECT reason: the client may go to the server named by the Server Reference (MQTT 5 section 4.13.2). */
const USE_ANOTHER_SERVER = 0x9c;
/** DISCONNECT reason: the node stops. */
export const SERVER_SHUTTING_DOWN = 0x8b;

/** A drain at once, because of an administrator. */
export const AT_ONCE: Drain = { ms: 0, reasonCode: ADMINISTRATIVE_ACTION, serverReference: null };
/** A drain at once, because the node stops. */
export const SHUTDOWN: Drain = { ms: 0, reasonCode: SERVER_SHUTTING_DOWN, serverReference: null };

/** True when even clients that could stay are to be disconnected. */
export function asksToDrain({ drainMs, drainRate, redirect }: DrainRequest): boolean {
  return drainMs > 0 || drainRate !== null || redirect !== null;
}

/** The drain order for workers. @param clients number over all workers; each worker spreads its own clients over the same time */
export function toDrain({ drainMs, drainRate, redirect }: DrainRequest, clients: number): Drain {
  const ms = drainRate === null ? drainMs : Math.ceil((clients / drainRate) * 1000);
  return { ms, reasonCode: redirect === null ? ADMINISTRATIVE_ACTION : USE_ANOTHER_SERVER, serverReference: redirect };
}

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
export function leftOf(parts: readonly Part[]): number {
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
   * Follows a drain until `ended` settles; it replaces the previous drain.
   * @param parts the listeners of its clients
   */
  follow(ms: number, parts: Part[], ended: Promise<unknown>): void {
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
