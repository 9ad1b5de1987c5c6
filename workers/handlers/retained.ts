/** Sends the retained messages of a new subscription, no faster than the client reads. */

import type { Client } from '../client/client.ts';
import type { Message } from '../routing/message.ts';
import { Message as OwnMessage } from '../routing/message.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { RetainedQuery } from '../session/retained-queries.ts';

/** Each is a message of its own for this session: RETAIN is 1 [MQTT-3.3.1-8], QoS is the lower of both. */
export function sendRetained(client: Client, subscription: Subscription, query: RetainedQuery, messages: readonly Message[]): void {
  const { session } = client;
  if (session === null || session.outlet !== client) return;
  const identifiers = subscription.identifier === 0 ? [] : [subscription.identifier];
  let next = 0;
  const sendMore = (): void => {
    while (next < messages.length) {
      if (client.isSlow) {
        client.whenWritable(sendMore);
        return;
      }
      const stored = messages[next++]!;
      // Published anew while the client was slow.
      if (query.isOvertaken(stored)) continue;
      if (subscription.noLocal && stored.from === session.key) continue;
      const { topic, payload, forward, expiresAt, from } = stored;
      const message = new OwnMessage(topic, payload, stored.qos, true, forward, expiresAt, from);
      client.context.router.number(message);
      const qos = message.qos < subscription.qos ? message.qos : subscription.qos;
      session.send(message, qos, true, identifiers, null, true);
    }
    query.end();
  };
  sendMore();
}
