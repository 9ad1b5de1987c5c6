/** Takes changed bans, and disconnects the clients that new ones are about. */

import { type BanChange, BanIndex } from '../../../src/endpoint/bans/ban-index.ts';
import { wallNow } from '../../../src/kernel/clock.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import { banOf, noteBan } from '../client/limits/bans.ts';
import type { EndpointRuntime } from './endpoint-runtime.ts';

/** Without bans. They end by the wall clock. */
export function createBanIndex(): BanIndex {
  return new BanIndex(wallNow);
}

/**
 * Disconnects in slices. The standard has 0x8A (Banned) for CONNACK alone (MQTT 5 table 2-6), so a connected client gets 0x98.
 * @returns clients that were disconnected
 */
export async function takeBans(bans: BanIndex, changes: readonly BanChange[], runtimes: Iterable<EndpointRuntime>): Promise<number> {
  bans.apply(changes);
  const added = createBanIndex();
  added.apply(changes.filter(([, until]) => until !== null));
  if (added.isEmpty) return 0;
  const pace = new Pace();
  let kicked = 0;
  for (const runtime of runtimes) {
    for (const client of [...runtime.clients]) {
      if (pace.isOver) await pace.next();
      if (client.isClosed || client.state === 'new') continue;
      const ban = banOf(client, client.clientId, added);
      if (ban === null) continue;
      noteBan(client, client.clientId, ban);
      if (client.isOnline) {
        client.endpoint.count('refusedBanned');
        client.close(REASON.administrativeAction, 'Banned');
      } else client.refuse(REASON.banned, 'Banned', 'refusedBanned');
      kicked++;
    }
  }
  return kicked;
}
