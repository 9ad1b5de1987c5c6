/** Sends the retained messages of new subscriptions, no faster than the client reads and acknowledges. */

import { steadyNow } from '../../src/kernel/clock.ts';
import type { Client } from '../client/client.ts';
import type { Message } from '../routing/message.ts';
import { Message as OwnMessage } from '../routing/message.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { Retained, RetainedQuery } from '../session/retained/queries.ts';
import { subscriptionKey } from '../session/session.ts';

/**
 * Each is a message of its own for this session: RETAIN is 1 [MQTT-3.3.1-8], QoS is the lower of both.
 * @param subscriptions in the order of the question's filters
 */
export function sendRetained(
  client: Client,
  subscriptions: readonly Subscription[],
  query: RetainedQuery,
  found: readonly Retained[],
): void {
  const { session } = client;
  if (session === null || session.outlet !== client) return;
  const due: [Subscription, Message][] = found.flatMap(({ filterAt, messages }) =>
    messages.map((message): [Subscription, Message] => [subscriptions[filterAt]!, message]),
  );
  let next = 0;
  const sendMore = (isLast = false): void => {
    while (next < due.length) {
      if (client.isSlow && !isLast) {
        client.whenWritable(sendMore);
        return;
      }
      const [subscription, stored] = due[next]!;
      if (!isLast && subscription.qos > 0 && stored.qos > 0 && !session.hasRoom) {
        session.whenRoom(sendMore);
        return;
      }
      next++;
      // Unsubscribed, or taken back, while it waited.
      if (!session.subscriptions.has(subscriptionKey(subscription))) continue;
      // Published anew, or expired, while it waited.
      if (query.isOvertaken(stored) || stored.isExpired(steadyNow())) continue;
      if (subscription.noLocal && stored.from === session.key) continue;
      const { topic, payload, forward, expiresAt, from } = stored;
      const message = new OwnMessage(topic, payload, stored.qos, true, forward, expiresAt, from);
      client.context.router.number(message);
      const qos = message.qos < subscription.qos ? message.qos : subscription.qos;
      const identifiers = subscription.identifier === 0 ? [] : [subscription.identifier];
      session.send(message, qos, true, identifiers, null, true);
    }
    query.end();
  };
  sendMore();
}
