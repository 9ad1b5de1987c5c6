/** Disconnects clients one after the other, evenly over a time, or as fast as the other work of the thread allows. Can be aborted. */

import { steadyNow } from '../../../src/kernel/clock.ts';
import { pause } from '../../../src/kernel/deadline.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import type { Drain } from '../../../src/thread/commands.ts';
import type { Client } from '../client/client.ts';

/** A little longer than the listener's deadline, which cuts off a client that does not read its end. */
const EMPTY_TIMEOUT_MS = 6_000;
const POLL_MS = 5;

/** @returns the number of disconnected clients; `done` is true when all were disconnected and nothing aborted the drain */
export async function drainClients(clients: Client[], drain: Drain, signal: AbortSignal): Promise<{ disconnected: number; done: boolean }> {
  const step = clients.length === 0 ? 0 : drain.ms / clients.length;
  let due = steadyNow();
  let disconnected = 0;
  const pace = new Pace();
  for (const client of clients) {
    due += step;
    const early = due - steadyNow();
    if (early > 1) await pause(early, signal);
    else if (pace.isOver) await pace.next();
    if (signal.aborted) return { disconnected, done: false };
    if (client.isClosed) continue;
    client.close(drain.reasonCode, undefined, drain.serverReferences[disconnected % drain.serverReferences.length]);
    disconnected++;
  }
  const deadline = steadyNow() + EMPTY_TIMEOUT_MS;
  while (!signal.aborted && clients.some((client) => !client.isGone) && steadyNow() < deadline) await pause(POLL_MS);
  for (const client of clients) {
    if (signal.aborted) break;
    if (client.isGone) continue;
    if (pace.isOver) await pace.next();
    client.connection.destroy();
  }
  // A finished drain closes the listener. An aborted drain must not: the newer drain in its place will.
  return { disconnected, done: !signal.aborted };
}
