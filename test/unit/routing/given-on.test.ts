/** Messages of a shared group that go to another member when theirs has left: each has one number, and no other message has it. */

import { describe, expect, test } from 'vitest';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import type { Peer, PeerPublish } from '../../../workers/shared/routing/peer.ts';
import { Router } from '../../../workers/shared/routing/router.ts';
import { deliveryKey } from '../../../workers/shared/session/flight/delivery.ts';
import { BatchReader, BatchWriter } from '../../../workers/shared/wire/records.ts';

const SELF = 3;
const GROUP = { filter: 't', name: 'g' };

/** A worker that reads what comes from the worker SELF, as the bytes of batches. */
class Worker implements Peer {
  readonly isKnown = true;
  readonly isOverloaded = false;
  readonly id: number;
  readonly #writer = new BatchWriter();
  readonly #reader = new BatchReader(SELF);

  constructor(id: number) {
    this.id = id;
  }

  publish(namespace: string, record: PeerPublish): void {
    this.#writer.publish(namespace, record);
  }

  publishRun(): void {}

  /** Everything that has come since the last call. */
  read(): Message[] {
    const messages: Message[] = [];
    for (const { buffer, used } of this.#writer.take())
      this.#reader.readAll(Buffer.from(buffer, 0, used), { onPublish: (_namespace, { message }) => messages.push(message), onRun() {} });
    return messages;
  }
}

function message(text: string, source = 0, serial = 0): Message {
  const made = new Message('t', Buffer.from(text), 1, false, EMPTY, 0, 'from');
  made.source = source;
  made.serial = serial;
  return made;
}

function world(role: 'endpoint' | 'session') {
  const router = new Router(SELF, { onPeerOverload() {}, onRetainedPublish() {} });
  const namespace = new Namespace('default');
  const peer = new Worker(9);
  if (role === 'session') {
    router.sessionPeer = peer;
    router.committed = () => Promise.resolve();
  }
  namespace.group('t', 'g').remote.set(peer, { connected: 1, away: 0, durable: 1 });
  return { router, namespace, peer, route: (text: string) => router.route(namespace, namespace.entry('t'), message(text)) };
}

describe.each(['endpoint', 'session'] as const)('to the %s worker', (role) => {
  test('messages that other workers and nodes have numbered get numbers of their own', () => {
    const { router, namespace, peer, route } = world(role);
    route('own 1');
    route('own 2');
    for (const source of [1, 2, SOURCES_PER_NODE + 1])
      for (const serial of [1, 2, 3]) router.rerouteShared(namespace, GROUP, message(`${source} ${serial}`, source, serial), null);
    route('own 3');
    const read = peer.read();
    expect(read).toHaveLength(12);
    expect(new Set(read.map((each) => deliveryKey(each, GROUP))).size).toBe(12);
    expect(new Set(read.map((each) => each.payload.toString())).size).toBe(12);
  });

  test("the worker's own message keeps its number: it is dropped where it has come before", () => {
    const { router, namespace, peer, route } = world(role);
    route('own');
    const [first] = peer.read();
    router.rerouteShared(namespace, GROUP, first!, null);
    const [second] = peer.read();
    expect(deliveryKey(second!, GROUP)).toBe(deliveryKey(first!, GROUP));
  });

  test('a message that another worker has numbered waits for its receiver, and goes to a third one when that ends', () => {
    const { router, namespace, peer, route } = world(role);
    route('own');
    router.confirmations.confirmed(peer, peer.read()[0]!.serial);
    const confirmation = router.rerouteShared(namespace, GROUP, message('other', 1, 7), null);
    expect(confirmation).not.toBe(null);
    const [other] = peer.read();
    if (role === 'session') return;
    expect(router.confirmations.find(peer, other!.serial)).toBe(confirmation);
    const third = new Worker(10);
    namespace.group('t', 'g').remote.set(third, { connected: 1, away: 0, durable: 1 });
    namespace.group('t', 'g').remote.delete(peer);
    router.peerRemoved(peer);
    expect(third.read().map(({ payload }) => payload.toString())).toEqual(['other']);
    let isStored = false;
    confirmation!.when(() => {
      isStored = true;
    });
    expect(isStored).toBe(false);
    router.confirmations.confirmed(third, other!.serial);
    expect(isStored).toBe(true);
  });
});
