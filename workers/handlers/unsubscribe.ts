/** UNSUBSCRIBE (MQTT 5 section 3.10). */

import { SLOT } from '../../src/metrics/counters.ts';
import { encodeUnsuback } from '../../src/mqtt/encode.ts';
import type { UnsubscribePacket } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import { parseSharedFilter, toLatin1 } from '../../src/mqtt/topic.ts';
import type { Client } from '../client/client.ts';
import { HOLD } from '../client/packet-reader.ts';
import { filterTurns } from '../session/filter-turns.ts';
import { type Session, subscriptionKey } from '../session/session.ts';

/** A session worker that has not stored it after this time hangs. The client is disconnected: an UNSUBACK could promise more than holds. */
const STORED_DEADLINE_MS = 10_000;

export async function handleUnsubscribe(client: Client, packet: UnsubscribePacket): Promise<void> {
  const session = client.session!;
  const kept: Promise<void>[] = [];
  const codes: number[] = [];
  const { filters } = packet;
  const { atOnce } = filterTurns;
  for (let at = 0; at < filters.length; at += atOnce) {
    const slice = filters.slice(at, at + atOnce);
    const later = filterTurns.take(slice.length);
    if (later !== null) {
      client.hold(HOLD.subscribe);
      await later;
      if (client.session !== session) return;
    }
    for (const text of slice) codes.push(unsubscribe(client, session, text, kept));
  }
  if (kept.length > 0) {
    // After UNSUBACK, a removed subscription must not return with the session after kill -9.
    client.hold(HOLD.subscribe);
    const late = setTimeout(() => client.close(REASON.serverBusy, 'The change could not be stored in time'), STORED_DEADLINE_MS);
    await Promise.all(kept);
    clearTimeout(late);
    if (client.session !== session) return;
  }
  client.write(encodeUnsuback(client.version, packet.packetId, codes));
  client.release(HOLD.subscribe);
}

/** Removes a filter. @param kept collects the promises that UNSUBACK must wait for @returns the reason code */
function unsubscribe(client: Client, session: Session, text: string, kept: Promise<void>[]): number {
  const shared = parseSharedFilter(text)!;
  const subscription = { filter: toLatin1(shared.filter), group: shared.group };
  if (!client.context.table.subscriptions.remove(session, subscriptionKey(subscription))) return REASON.noSubscriptionExisted;
  client.endpoint.slots[SLOT.subscriptionsCurrent]!--;
  if (session.isDurable) kept.push(client.context.barrier.request(session, { op: 'unsubscribe', ...subscription }));
  return REASON.success;
}
