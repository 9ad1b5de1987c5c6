/** SUBSCRIBE: checks each filter, waits until every peer knows it, answers, and sends retained messages (MQTT 5 section 3.8). */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import { observe, RESPONSE_BUCKETS, responseBase, SLOT } from '../../../../src/metrics/counters.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { SubscribePacket, SubscribeRequest } from '../../../../src/mqtt/packet.ts';
import { encodeSuback } from '../../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { parseSharedFilter, toLatin1 } from '../../../../src/mqtt/topic.ts';
import { LASTING_PART } from '../../../../src/thread/memory-budget.ts';
import type { Subscription } from '../../../shared/routing/subscriber.ts';
import { bytesOfFilters } from '../../../shared/session/footprint.ts';
import { type Session, subscriptionKey } from '../../../shared/session/session.ts';
import { toWireSubscription } from '../../../shared/session/wire-subscription.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import type { RetainedQuery } from '../../retained/queries.ts';
import { handleInTurns, untilAnswered, untilDrained } from './filter-request.ts';
import { beginQuery, sendRetained } from './retained.ts';

const RESPONSE_SUBSCRIBE = responseBase('subscribe');

/** Subscriptions that were made together, and the query for their retained messages. */
interface Asked {
  subscriptions: readonly Subscription[];
  query: RetainedQuery;
}

export async function handleSubscribe(client: Client, packet: SubscribePacket): Promise<void> {
  const startedAt = steadyNow();
  const session = client.session!;
  const waits: Promise<void>[] = [];
  const queries: Asked[] = [];
  const codes: number[] = [];
  // Messages in the posts of peers are older than the SUBSCRIBE, and their publishers may have PUBACK. If the subscriber got them, an old
  // state of a topic would come before the retained message (docs/internals/peers.md, Older messages).
  const drained = untilDrained(client.context.mesh);
  if (drained !== null) {
    await untilAnswered(client, [drained], 'The messages before the subscription could not be handled in time');
    if (client.session !== session) return;
  }
  const turns = handleInTurns(client, packet.subscriptions, (slice) => {
    waits.push(...subscribe(client, session, slice, packet.subscriptionIdentifier, codes, queries));
  });
  if (turns !== null && !(await turns)) return;
  if (waits.length > 0) {
    // The barrier (docs/internals/peers.md, Interest): after SUBACK no publish anywhere on the node may miss the filter.
    // The client's packets behind the SUBSCRIBE wait too: otherwise its own publishes could reach it before SUBACK.
    await untilAnswered(client, waits, 'The subscription could not be announced in time');
  }
  if (client.session !== session) return;
  client.write(encodeSuback(client.version, packet.packetId, codes));
  observe(client.endpoint.slots, RESPONSE_SUBSCRIBE, RESPONSE_BUCKETS, (steadyNow() - startedAt) / 1000);
  client.release(HOLD.subscribe);
  for (const { subscriptions: asked, query } of queries) sendRetained(client, session, asked, query);
}

/** Makes subscriptions, and adds their reason codes and queries. @returns promises that SUBACK must wait for */
function subscribe(
  client: Client,
  session: Session,
  requests: readonly SubscribeRequest[],
  identifier: number,
  codes: number[],
  queries: Asked[],
): Promise<void>[] {
  const { table, barrier } = client.context;
  const made = new Map<string, Subscription>();
  const asked: Subscription[] = [];
  let added = 0;
  for (const request of requests) {
    const subscription = makeSubscription(client, request, identifier);
    if (typeof subscription === 'number') {
      codes.push(subscription);
      continue;
    }
    const key = subscriptionKey(subscription);
    const isNew = !session.subscriptions.has(key) && !made.has(key);
    if (isNew && !mayAdd(client, session.subscriptions.size + added, key)) {
      codes.push(refusedByQuota(client));
      continue;
    }
    codes.push(subscription.qos);
    if (isNew) added++;
    if (isNew) client.endpoint.slots[SLOT.subscriptionsCurrent]!++;
    if (wantsRetained(subscription, isNew)) asked.push(subscription);
    // The last of several subscriptions with one filter counts [MQTT-3.8.4-5].
    made.set(key, subscription);
  }
  if (asked.length > 0) {
    const filters = asked.map(({ filter }) => filter);
    const query = beginQuery(client, session, filters);
    queries.push({ subscriptions: asked, query });
  }
  const subscriptions = [...made.values()];
  const waits = table.subscriptions.add(session, subscriptions);
  // While the store cannot be written, only subscriptions that are already on disk get this far.
  if (session.isDurable && !client.context.store.isFailing) {
    for (const each of subscriptions) waits.push(barrier.request(session, { op: 'subscribe', subscription: toWireSubscription(each) }));
  }
  return waits;
}

/** Whether the client may have one more subscription; counts the limit that forbids it. @param count its present number */
function mayAdd(client: Client, count: number, key: string): boolean {
  if (count < client.endpoint.config.endpoint.maxSubscriptions) {
    return client.memory.reserve(bytesOfFilters(1, key.length, client.context.mesh.links.size), LASTING_PART);
  }
  client.endpoint.count('quotaSubscriptions');
  return false;
}

/** 0x97 in SUBACK, or 0x80. @throws ProtocolError for MQTT 3.1, which has no failure code in SUBACK */
function refusedByQuota({ version }: Client): number {
  if (version === 3) throw new ProtocolError(REASON.quotaExceeded, 'The client has too many subscriptions');
  return version === 5 ? REASON.quotaExceeded : REASON.unspecifiedError;
}

/** Shared subscriptions get no retained messages [MQTT-3.8.4]. Retain Handling decides for all others [MQTT-3.3.1-9..11]. */
function wantsRetained(subscription: Subscription, isNew: boolean): boolean {
  if (subscription.group !== null || subscription.retainHandling === 2) return false;
  return subscription.retainHandling === 0 || isNew;
}

/** The subscription, or the reason code that refuses it. */
function makeSubscription(client: Client, request: SubscribeRequest, identifier: number): Subscription | number {
  const shared = parseSharedFilter(request.filter)!;
  if (!client.decisions.maySubscribe(request.filter, request.qos)) {
    client.endpoint.count('errorAclDenied');
    return client.version === 5 ? REASON.notAuthorized : REASON.unspecifiedError;
  }
  const { qos, noLocal, retainAsPublished, retainHandling } = request;
  const subscription = {
    filter: toLatin1(shared.filter),
    group: shared.group,
    qos,
    noLocal,
    retainAsPublished,
    retainHandling,
    identifier,
  };
  if (mayKeep(client, subscription)) return subscription;
  client.context.store.countRefused();
  if (client.version === 3) throw new ProtocolError(REASON.quotaExceeded, 'The subscription cannot be stored now');
  return client.version === 5 ? REASON.quotaExceeded : REASON.unspecifiedError;
}

/** False when the subscription must be stored and the store cannot be written. An unchanged subscription needs no write. */
function mayKeep(client: Client, subscription: Subscription): boolean {
  const session = client.session!;
  if (!session.isDurable || !client.context.store.isFailing) return true;
  const known = session.subscriptions.get(subscriptionKey(subscription));
  return (
    known !== undefined &&
    known.qos === subscription.qos &&
    known.noLocal === subscription.noLocal &&
    known.retainAsPublished === subscription.retainAsPublished &&
    known.identifier === subscription.identifier
  );
}
