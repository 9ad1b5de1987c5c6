/** Messages that a node has taken, and that come again because its acknowledgement was lost: they go to no worker, also to no new one. */

import { expect, test } from 'vitest';
import { WINDOW_BYTES } from '../../../src/link/link.ts';
import { Arrivals, type LocalPeer } from '../../../workers/relay/arrivals.ts';
import { Ledger } from '../../../workers/relay/kept/ledger.ts';
import { TakenMessages } from '../../../workers/relay/kept/taken.ts';
import { NodeInput } from '../../../workers/relay/node-input.ts';
import { RemoteNode } from '../../../workers/relay/remote-node.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { INTEREST } from '../../../workers/shared/routing/peer.ts';

const LOGGER = { debug() {}, info() {}, warn() {}, error() {} };

/** Packets that a node writes for another one. */
function packetsOf(messages: { qos: 0 | 1 | 2; serial: number; groups?: string[] }[]): { lane: number; packet: Uint8Array }[] {
  const written: { lane: number; packet: Uint8Array }[] = [];
  const write = (lane: number, packet: Uint8Array) => written.push({ lane, packet: Uint8Array.from(packet) });
  const sender = new RemoteNode(1, 'here', { bytes: 10_000, messages: 10 }, new Ledger(), { now: () => 0, write, touched() {} });
  sender.up();
  for (const { qos, serial, groups = null } of messages) {
    const message = new Message('t', EMPTY, qos, false, EMPTY, 0, '');
    [message.source, message.serial] = [3, serial];
    sender.publish('default', { message, toSubscribers: groups === null, groups, store: false });
  }
  sender.flush();
  return written;
}

function receiver() {
  const namespace = new Namespace('default');
  const got: number[] = [];
  const worker: LocalPeer = {
    id: 2,
    role: 'endpoint',
    isKnown: true,
    isOverloaded: false,
    publish: (_namespace, { message }) => got.push(message.serial),
    publishRun() {},
  };
  namespace.setInterest(worker, 't', INTEREST.live | INTEREST.queued);
  namespace.group('t', 'g').setRemote(worker, { connected: 1, away: 0, durable: 0 });
  const arrivals = new Arrivals({ namespace: () => namespace, keeper: () => null, onClosed() {}, giveOn() {}, logger: LOGGER });
  const node = new RemoteNode(1, 'b', { bytes: 10_000, messages: 10 }, new Ledger(), { now: () => 0, write: () => 1, touched() {} });
  const hooks = { now: () => 0, take() {}, touched() {}, isBusy: null, raise() {} };
  const input = new NodeInput(node, arrivals, hooks as unknown as ConstructorParameters<typeof NodeInput>[2], LOGGER);
  let number = 0;
  const receive = (packets: ReturnType<typeof packetsOf>): number[] => {
    for (const { lane, packet } of packets) input.deliver(lane, packet, ++number);
    return got.splice(0);
  };
  return { input, receive };
}

test('a message that was taken in the session before goes to no worker; one that was not goes again', () => {
  const { input, receive } = receiver();
  input.begin(7);
  const first = packetsOf([
    { qos: 1, serial: 1 },
    { qos: 2, serial: 2 },
  ]);
  const second = packetsOf([{ qos: 2, serial: 3 }]);
  expect(receive(first)).toEqual([1, 2]);
  input.settle();
  expect(receive(second)).toEqual([3]);
  for (let session = 0; session < 2; session++) {
    input.end();
    input.begin(7);
    expect(receive(first)).toEqual([]);
    if (session === 0) input.settle();
  }
  // It was not taken.
  expect(receive(second)).toEqual([3]);
  input.settle();
  input.end();
  // Another process numbers its messages anew.
  input.begin(8);
  expect(receive(first)).toEqual([1, 2]);
});

test('a message for shared groups goes to their worker again, which knows whether it is a repeat', () => {
  const { input, receive } = receiver();
  input.begin(7);
  const packets = packetsOf([{ qos: 2, serial: 4, groups: ['t\0g'] }]);
  expect(receive(packets)).toHaveLength(1);
  input.settle();
  input.end();
  input.begin(7);
  expect(receive(packets)).toHaveLength(1);
});

test('what lies two windows of the link back is forgotten', () => {
  const taken = new TakenMessages();
  taken.begin(7);
  taken.took(100, [1, 1]);
  taken.took(2 * WINDOW_BYTES, [1, 2]);
  taken.took(1, [1, 3]);
  taken.begin(7);
  expect([1, 2, 3, 3].map((serial) => taken.isRepeat(1, serial))).toEqual([false, true, true, false]);
  taken.begin(7);
  expect(taken.isRepeat(1, 1)).toBe(false);
});
