/** Acknowledgements that wait for durable members of shared groups: each copy, each fault of the member's worker, bounds. */

import { expect, test } from 'vitest';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../workers/shared/messages/message.ts';
import { Crossing } from '../../../workers/shared/routing/crossing.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import type { Peer, PeerPublish } from '../../../workers/shared/routing/peer.ts';
import { Router } from '../../../workers/shared/routing/router.ts';
import { SharedConfirmations } from '../../../workers/shared/routing/shared-confirmations.ts';
import type { Subscriber } from '../../../workers/shared/routing/subscriber.ts';

/** A worker that remembers what it was sent. */
class Worker implements Peer {
  readonly isKnown = true;
  readonly isOverloaded = false;
  readonly records: PeerPublish[] = [];
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }

  publish(_namespace: string, record: PeerPublish): void {
    this.records.push(record);
  }

  publishRun(): void {}
}

const SELF = 1;
const message = (qos: 0 | 1 | 2, payload = EMPTY) => new Message('t', payload, qos, false, EMPTY, 0, 'from');

function world() {
  const router = new Router(SELF, { onPeerOverload() {}, onRetainedPublish() {} });
  const namespace = new Namespace('default');
  const group = namespace.group('t', 'g');
  const route = (qos: 0 | 1 | 2) => router.route(namespace, namespace.entry('t'), message(qos)).confirmation;
  return { router, namespace, group, route };
}

/** A durable member of this worker whose copy is on disk when `store` is called. */
function member(): { subscriber: Subscriber; store(): void } {
  const waiting: (() => void)[] = [];
  const subscriber: Subscriber = {
    key: 'member',
    isConnected: true,
    isLeaving: false,
    isDurable: true,
    deliver: () => new Promise((resolve) => waiting.push(resolve)),
    deliverRun: () => true,
  };
  return { subscriber, store: () => waiting.splice(0).forEach((resolve) => void resolve()) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function outcomes(): { list: boolean[]; note: (isStored: boolean) => void } {
  const list: boolean[] = [];
  return { list, note: (isStored) => list.push(isStored) };
}

test('a durable member here: after the disk', async () => {
  const { group, route } = world();
  const { subscriber, store } = member();
  group.join(subscriber, { filter: 't', group: 'g', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 });
  const { list, note } = outcomes();
  route(1)!.when(note);
  await turn();
  expect(list).toEqual([]);
  store();
  await turn();
  expect(list).toEqual([true]);
});

test('a durable member at another worker: after its confirmation; none for QoS 0, nor without durable members', () => {
  const { router, group, route } = world();
  const peer = new Worker(2);
  group.remote.set(peer, { connected: 2, away: 0, durable: 0 });
  expect(route(1)).toBe(null);
  group.remote.set(peer, { connected: 2, away: 0, durable: 1 });
  expect(route(0)).toBe(null);
  const { list, note } = outcomes();
  route(1)!.when(note);
  route(2)!.when(note);
  expect(peer.records.map(({ store }) => store)).toEqual([false, false, true, true]);
  router.confirmations.confirmed(peer, peer.records[2]!.message.serial);
  expect(list).toEqual([true]);
  router.confirmations.confirmed(peer, peer.records[3]!.message.serial);
  // A repeat changes nothing.
  router.confirmations.confirmed(peer, peer.records[3]!.message.serial);
  expect(list).toEqual([true, true]);
});

test('a worker that ends: QoS 1 goes to another member, which confirms; QoS 2 goes to nobody else', () => {
  const { router, group, route } = world();
  const [lost, next] = [new Worker(2), new Worker(3)];
  group.remote.set(lost, { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  route(1)!.when(note);
  route(2)!.when(note);
  group.remote.delete(lost);
  group.remote.set(next, { connected: 1, away: 0, durable: 1 });
  router.peerRemoved(lost);
  expect(next.records.map((record) => record.message.qos)).toEqual([1]);
  expect(list).toEqual([true]);
  router.confirmations.confirmed(next, next.records[0]!.message.serial);
  expect(list).toEqual([true, true]);
});

test('a message that comes back: the next member confirms it', () => {
  const { router, namespace, group, route } = world();
  const [gone, next] = [new Worker(2), new Worker(3)];
  group.remote.set(gone, { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  route(1)!.when(note);
  const { message: sent } = gone.records[0]!;
  group.remote.set(next, { connected: 1, away: 0, durable: 1 });
  const confirmation = router.confirmations.find(gone, sent.serial);
  expect(confirmation).not.toBe(null);
  expect(router.bounced(namespace, { filter: 't', name: 'g' }, sent, gone)).toBe(confirmation);
  router.confirmations.confirmed(gone, sent.serial);
  expect(list).toEqual([]);
  router.confirmations.confirmed(next, sent.serial);
  expect(list).toEqual([true]);
});

test('a message that comes back from other nodes: the member here confirms it, though the nodes have taken it', () => {
  const { router, namespace, group, route } = world();
  const [relay, next] = [new Worker(2), new Worker(3)];
  router.relayPeer = relay;
  router.crossing = new Crossing();
  router.crossing.isAway = false;
  group.remote.set(relay, { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  const confirmation = route(1)!;
  confirmation.when(note);
  const { serial } = relay.records[0]!.message;
  group.remote.set(next, { connected: 0, away: 1, durable: 1 });
  const returned = message(1);
  // As the other node knows it.
  [returned.source, returned.serial] = [7 * SOURCES_PER_NODE + SELF, serial];
  expect(router.bounced(namespace, { filter: 't', name: 'g' }, returned, relay)).toBe(confirmation);
  router.crossing.taken([serial]);
  expect(list).toEqual([]);
  expect(next.records[0]!.message).toMatchObject({ source: SELF, serial });
  router.confirmations.confirmed(next, serial);
  expect(list).toEqual([true]);
});

test('a message that comes back and goes to the session worker: after its commit', async () => {
  const { router, namespace, group, route } = world();
  const [gone, session] = [new Worker(2), new Worker(9)];
  router.sessionPeer = session;
  let commit = () => {};
  router.committed = () =>
    new Promise((resolve) => {
      commit = resolve;
    });
  group.remote.set(gone, { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  route(1)!.when(note);
  const { message: sent } = gone.records[0]!;
  group.remote.set(session, { connected: 0, away: 1, durable: 1 });
  router.rerouteShared(namespace, { filter: 't', name: 'g' }, sent, gone, router.confirmations.find(gone, sent.serial));
  router.confirmations.confirmed(gone, sent.serial);
  await turn();
  expect([list, session.records.length]).toEqual([[], 1]);
  commit();
  await turn();
  expect(list).toEqual([true]);
});

test('a store that cannot be written gives up everything that waits, once', () => {
  const { router, group, route } = world();
  const peer = new Worker(2);
  group.remote.set(peer, { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  const confirmation = route(1)!;
  confirmation.when(note);
  router.confirmations.fail();
  router.confirmations.confirmed(peer, peer.records[0]!.message.serial);
  confirmation.when(note);
  expect(list).toEqual([false, false]);
});

test('a QoS 2 exchange finds its confirmation until it is over', () => {
  const { router, group, route } = world();
  const peer = new Worker(2);
  group.remote.set(peer, { connected: 1, away: 0, durable: 1 });
  const confirmation = route(2)!;
  const session = {};
  router.confirmations.noteExchange(session, 7, confirmation);
  expect(router.confirmations.ofExchange(session, 7)).toBe(confirmation);
  router.confirmations.confirmed(peer, peer.records[0]!.message.serial);
  expect(router.confirmations.ofExchange(session, 7)).toBe(null);
});

test('16 MiB that wait stop the reading; below half of that, reading resumes', () => {
  const confirmations = new SharedConfirmations();
  let relieved = 0;
  confirmations.onRelieved = () => relieved++;
  const open = Array.from({ length: 17 }, () => confirmations.open(message(1, Buffer.alloc(1024 * 1024))));
  for (const each of open) each.begin();
  expect(confirmations.isFull).toBe(true);
  for (const each of open.slice(0, 9)) each.end();
  expect([confirmations.isFull, relieved]).toEqual([false, 0]);
  open[9]!.end();
  expect([confirmations.isFull, relieved]).toEqual([false, 1]);
});

test('a delivery that ends a session, whose shared messages go elsewhere, takes no confirmation away', async () => {
  const { router, namespace, group, route } = world();
  const other = namespace.group('other', 'g');
  const { subscriber, store } = member();
  const ending: Subscriber = {
    ...subscriber,
    key: 'ending',
    isDurable: false,
    deliver() {
      router.rerouteShared(namespace, other, new Message('other', EMPTY, 1, false, EMPTY, 0, ''), null);
      router.route(namespace, namespace.entry('will'), new Message('will', EMPTY, 1, false, EMPTY, 0, ''));
      return null;
    },
  };
  const plain = { filter: 't', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
  const second = namespace.group('t', 'second');
  group.join(subscriber, { ...plain, group: 'g' });
  second.join(ending, { ...plain, group: 'second' });
  other.remote.set(new Worker(4), { connected: 1, away: 0, durable: 1 });
  const { list, note } = outcomes();
  route(1)!.when(note);
  await turn();
  expect(list).toEqual([]);
  store();
  await turn();
  expect(list).toEqual([true]);
});
