/** PUBLISH off the fast path: RETAIN, DUP, topic alias, expiry, unusual properties, denied and invalid topics (MQTT 5 section 3.3). */

import { publishRight } from '../../../../src/endpoint/access/rules/publish-rights.ts';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import { SLOT } from '../../../../src/metrics/counters.ts';
import { ACK } from '../../../../src/mqtt/encode-publish.ts';
import type { PublishPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { EMPTY, Message } from '../../../shared/messages/message.ts';
import type { Client } from '../../client/client.ts';

export function handlePublish(client: Client, packet: PublishPacket): void {
  const topic = client.aliases.resolve(packet.properties?.topicAlias ?? 0, packet.topic);
  const { endpoint, context } = client;
  const session = client.session!;
  // Before the topic is judged: a repeat gets no new decision.
  if (packet.qos === 2 && client.queued.isRepeat(packet.packetId)) return;
  const { namespace } = endpoint;
  let entry = namespace.known(topic);
  if (entry === undefined) {
    endpoint.slots[SLOT.topicsPublished]!++;
    entry = namespace.entry(topic);
  }
  if (!client.mayPublish(entry, publishRight(packet.qos, packet.retain))) {
    deny(client, packet);
    return;
  }
  const { properties, payload } = packet;
  const expiry = properties?.messageExpiryInterval ?? -1;
  const expiresAt = expiry < 0 ? 0 : steadyNow() + expiry * 1000;
  const message = new Message(topic, payload, packet.qos, packet.retain, properties?.forward ?? EMPTY, expiresAt, session.key);
  if (packet.retain) message.origin = endpoint.id;
  const size = payload.length + topic.length + (properties?.forward.length ?? 0) + 4;
  if (packet.qos === 1) {
    client.queued.atLeastOnce(entry, message, packet.packetId, size);
    return;
  }
  if (packet.qos === 0) {
    client.countIn(size);
    context.router.route(namespace, entry, message);
    return;
  }
  client.queued.exactlyOnce(entry, message, packet.packetId, size);
}

/** Refuses a PUBLISH that the rules deny: 0x87 in the acknowledgement with MQTT 5; otherwise dropped silently (docs/access.md). */
function deny(client: Client, packet: PublishPacket): void {
  client.countIn(packet.payload.length);
  client.endpoint.count('errorAclDenied');
  client.endpoint.count('droppedAcl');
  if (packet.qos === 0) return;
  client.ack(packet.qos === 1 ? ACK.puback : ACK.pubrec, packet.packetId, REASON.notAuthorized);
}
