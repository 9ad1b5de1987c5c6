/** The orders by which workers disconnect clients: a change's request in numbers, and the drains at once. */

import type { Drain } from '../../../thread/commands.ts';
import type { DrainRequest } from '../../contract/request-parts.ts';

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

/** The drain order for workers. @param clients number over all workers; each worker spreads its own clients over the same time */
export function toDrain({ drainMs, drainRate, redirect }: DrainRequest, clients: number): Drain {
  const ms = drainRate === null ? drainMs : Math.ceil((clients / drainRate) * 1000);
  return { ms, reasonCode: redirect === null ? ADMINISTRATIVE_ACTION : USE_ANOTHER_SERVER, serverReference: redirect };
}
