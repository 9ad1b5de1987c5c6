/** The orders by which workers disconnect clients: a change's request in numbers, and the drains at once. */

import type { Drain } from '../../../thread/commands.ts';
import type { DrainRequest } from '../../contract/request-parts.ts';

/** DISCONNECT reason: the endpoint was removed, disabled or changed by an administrator [MQTT-3.14.2-1]. */
export const ADMINISTRATIVE_ACTION = 0x98;
/** DISCONNECT reason: the client may go to the server named by the Server Reference (MQTT 5 section 4.13.2). */
export const USE_ANOTHER_SERVER = 0x9c;
/** DISCONNECT reason: the node stops. */
export const SERVER_SHUTTING_DOWN = 0x8b;

/** A drain at once, because of an administrator. */
export const AT_ONCE: Drain = { ms: 0, reasonCode: ADMINISTRATIVE_ACTION, serverReferences: [] };
/** A drain at once, because the node stops. */
export const SHUTDOWN: Drain = { ms: 0, reasonCode: SERVER_SHUTTING_DOWN, serverReferences: [] };

/** A drain: the request of a change, the exact order, or the order for so many clients. */
export type DrainWish = DrainRequest | Drain | ((clients: number) => Drain);

/** The order for workers. @param clients see toDrain() */
export function orderOf(wish: DrainWish, clients: number): Drain {
  if (typeof wish === 'function') return wish(clients);
  return 'ms' in wish ? wish : toDrain(wish, clients);
}

/** The drain order for workers. @param clients number over all workers; each worker spreads its own clients over the same time */
export function toDrain({ drainMs, drainRate, redirect }: DrainRequest, clients: number): Drain {
  const ms = drainRate === null ? drainMs : Math.ceil((clients / drainRate) * 1000);
  if (redirect === null) return { ms, reasonCode: ADMINISTRATIVE_ACTION, serverReferences: [] };
  return { ms, reasonCode: USE_ANOTHER_SERVER, serverReferences: [redirect] };
}
