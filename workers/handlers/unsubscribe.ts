/** UNSUBSCRIBE (MQTT 5 section 3.10). */

import { SLOT } from '../../src/metrics/counters.ts';
import { encodeUnsuback } from '../../src/mqtt/encode.ts';
import type { UnsubscribePacket } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import { parseSharedFilter, toLatin1 } from '../../src/mqtt/topic.ts';
import type { Client } from '../client/client.ts';
import { subscriptionKey } from '../session/session.ts';

export function handleUnsubscribe(client: Client, packet: UnsubscribePacket): void {
  const session = client.session!;
  const codes = packet.filters.map((text) => {
    const shared = parseSharedFilter(text);
    if (shared === null) return REASON.topicFilterInvalid;
    const subscription = { filter: toLatin1(shared.filter), group: shared.group };
    if (!client.context.table.subscriptions.remove(session, subscriptionKey(subscription))) return REASON.noSubscriptionExisted;
    client.endpoint.slots[SLOT.subscriptionsCurrent]!--;
    if (session.isDurable) client.context.barrier.tell(session, { op: 'unsubscribe', ...subscription });
    return REASON.success;
  });
  client.write(encodeUnsuback(client.version, packet.packetId, codes));
}
