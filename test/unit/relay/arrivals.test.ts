/** Messages of two nodes with the same serial, for durable members of one worker: each packet is taken when its own message is on disk. */

import { expect, test } from 'vitest';
import { type Arrival, Arrivals, type LocalPeer } from '../../../workers/relay/arrivals.ts';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';

test('an answer names the node of its message', () => {
  const namespace = new Namespace('default');
  const worker: LocalPeer = { id: 2, role: 'endpoint', isKnown: true, isOverloaded: false, publish() {}, publishRun() {} };
  const group = namespace.group('t', 'g');
  group.setRemote(worker, { connected: 1, away: 0, durable: 1 });
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const arrivals = new Arrivals({ namespace: () => namespace, keeper: () => null, onClosed() {}, giveOn() {}, logger });
  const [one, other] = [1, 2].map((node): { message: Message; arrival: Arrival } => {
    const message = new Message('t', EMPTY, 1, false, EMPTY, 0, '');
    [message.source, message.serial] = [node * SOURCES_PER_NODE + 7, 5];
    const arrival = { open: 0 };
    arrivals.publish('default', { message, toSubscribers: false, groups: [group.id], store: false }, arrival, () => {});
    return { message, arrival };
  }) as [{ message: Message; arrival: Arrival }, { message: Message; arrival: Arrival }];
  expect([one.arrival.open, other.arrival.open]).toEqual([1, 1]);
  arrivals.kept(worker, other.message);
  expect([one.arrival.open, other.arrival.open]).toEqual([1, 0]);
  // A repeat, or an answer to another relay, changes nothing.
  arrivals.kept(worker, other.message);
  expect([one.arrival.open, other.arrival.open]).toEqual([1, 0]);
  arrivals.kept(worker, one.message);
  expect([one.arrival.open, other.arrival.open]).toEqual([0, 0]);
});

test('a worker ends before its durable members have messages on disk: other members get those of QoS 1', () => {
  const namespace = new Namespace('default');
  const worker: LocalPeer = { id: 2, role: 'endpoint', isKnown: true, isOverloaded: false, publish() {}, publishRun() {} };
  const group = namespace.group('t', 'g');
  group.setRemote(worker, { connected: 1, away: 0, durable: 1 });
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const given: [number, readonly string[]][] = [];
  const giveOn = (_worker: LocalPeer, _namespace: string, { serial }: Message, groups: readonly string[]) => given.push([serial, groups]);
  const arrivals = new Arrivals({ namespace: () => namespace, keeper: () => null, onClosed() {}, giveOn, logger });
  const arrived = [1, 2, 2, 1].map((qos, serial): { message: Message; arrival: Arrival } => {
    const message = new Message('t', EMPTY, qos as 1 | 2, false, EMPTY, 0, '');
    [message.source, message.serial] = [SOURCES_PER_NODE + 7, serial];
    const arrival = { open: 0 };
    arrivals.publish('default', { message, toSubscribers: false, groups: [group.id], store: false }, arrival, () => {});
    return { message, arrival };
  });
  arrivals.kept(worker, arrived[3]!.message);
  arrivals.peerRemoved(worker);
  expect(given).toEqual([[0, [group.id]]]);
  expect(arrived.map(({ arrival }) => arrival.open)).toEqual([0, 0, 0, 0]);
});
