/** What a change asks of the clients that it leaves behind, and how far their disconnection has got. */

import { wallNow } from '../../kernel/clock.ts';
import type { Drain } from '../../thread/messages.ts';

/** How clients of a listener that stops are disconnected. */
export interface DrainRequest {
  /** milliseconds over which they are spread, 0..3600000 */
  drainMs: number;
  /** clients a second over all workers, 1..1000000, in place of `drainMs`; null: not asked for */
  drainRate: number | null;
  /** Server Reference for MQTT 5 clients; null: none */
  redirect: string | null;
}

/** Clients stay where that is possible, and are disconnected at once where it is not. */
export const NO_DRAIN: DrainRequest = { drainMs: 0, drainRate: null, redirect: null };

/** DISCONNECT reason: the endpoint was removed, disabled or changed by an administrator [MQTT-3.14.2-1]. */
export const ADMINISTRATIVE_ACTION = 0x98;
/** DISCONNECT reason: the client may go to the server named by the Server Reference (MQTT 5 section 4.13.2). */
const USE_ANOTHER_SERVER = 0x9c;
/** DISCONNECT reason: the node stops. */
export const SERVER_SHUTTING_DOWN = 0x8b;

/** At once, because of an administrator. */
export const AT_ONCE: Drain = { ms: 0, reasonCode: ADMINISTRATIVE_ACTION, serverReference: null };
/** At once, because the node stops. */
export const SHUTDOWN: Drain = { ms: 0, reasonCode: SERVER_SHUTTING_DOWN, serverReference: null };

/** True when clients that could stay are to go. */
export function asksToDrain({ drainMs, drainRate, redirect }: DrainRequest): boolean {
  return drainMs > 0 || drainRate !== null || redirect !== null;
}

/** What workers are told. @param clients over all workers: each of these spreads its own over the same time */
export function toDrain({ drainMs, drainRate, redirect }: DrainRequest, clients: number): Drain {
  const ms = drainRate === null ? drainMs : Math.ceil((clients / drainRate) * 1000);
  return { ms, reasonCode: redirect === null ? ADMINISTRATIVE_ACTION : USE_ANOTHER_SERVER, serverReference: redirect };
}

/** Progress of what is being drained. */
export interface DrainStatus {
  /** clients when it began */
  total: number;
  left: number;
  /** ISO 8601: when the last one will be told */
  until: string;
}

interface Part {
  listener: { cancelDrain(timeoutMs: number): Promise<void> };
  /** clients of it that are to go */
  left(): number;
}

/** Clients that are to go, over all parts. */
export function leftOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.left(), 0);
}

/** The drain of an endpoint that is under way: one at a time, since each is of all clients that are to go. */
export class Drains {
  #current: { total: number; untilMs: number; parts: Part[] } | null = null;
  /** told when a drain begins, ends or is cancelled */
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** null when nothing is being drained. */
  get status(): DrainStatus | null {
    if (this.#current === null) return null;
    const { total, untilMs, parts } = this.#current;
    return { total, left: Math.min(leftOf(parts), total), until: new Date(untilMs).toISOString() };
  }

  /**
   * Follows a drain, in place of the one before, until `ended` settles.
   * @param parts where its clients are
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

  /** Lets the clients that are left stay. @returns false when nothing was being drained */
  async cancel(timeoutMs: number): Promise<boolean> {
    if (this.#current === null) return false;
    await Promise.all(this.#current.parts.map(({ listener }) => listener.cancelDrain(timeoutMs)));
    return true;
  }
}
