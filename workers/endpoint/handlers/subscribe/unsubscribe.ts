/** UNSUBSCRIBE (MQTT 5 section 3.10). */

import { SLOT } from '../../../../src/metrics/counters.ts';
import type { UnsubscribePacket } from '../../../../src/mqtt/packet.ts';
import { encodeUnsuback } from '../../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { parseSharedFilter, toLatin1 } from '../../../../src/mqtt/topic.ts';
import { type Session, subscriptionKey } from '../../../shared/session/session.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import { handleInTurns, untilAnswered } from './filter-request.ts';

export async function handleUnsubscribe(client: Client, packet: UnsubscribePacket): Promise<void> {
  const session = client.session!;
  const kept: Promise<void>[] = [];
  const codes: number[] = [];
  const turns = handleInTurns(client, packet.filters, (slice) => {
    for (const text of slice) codes.push(unsubscribe(client, session, text, kept));
  });
  if (turns !== null && !(await turns)) return;
  if (kept.length > 0) {
    // After UNSUBACK, a removed subscription must not return with the session after kill -9.
    await untilAnswered(client, kept, 'The change could not be stored in time');
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
