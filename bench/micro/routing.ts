/** Topic matching among 100,000 subscriptions, changes of subscriptions, and batches between peers. */

import { ReadTurn } from '../../src/kernel/turns/read-turn.ts';
import { EMPTY, Message } from '../../workers/shared/messages/message.ts';
import type { Run } from '../../workers/shared/messages/run.ts';
import { Namespace } from '../../workers/shared/routing/namespace.ts';
import type { Subscriber, Subscription } from '../../workers/shared/routing/subscriber.ts';
import { SubscriptionTree } from '../../workers/shared/routing/subscription-tree.ts';
import { BatchReader, BatchWriter } from '../../workers/shared/wire/records.ts';
import { type Measured, measure, sink } from './measure.ts';

const EXACT = 80_000;
const WILDCARDS = 20_000;
const BATCH = 100;

function topic(i: number): string {
  return `site/${i % 100}/device/${i}/value`;
}

function wildcard(i: number): string {
  return i % 2 === 0 ? `site/${i % 100}/+/${i}/value` : `site/${i % 100}/device/${i}/#`;
}

function subscription(filter: string): Subscription {
  return { filter, group: null, qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 };
}

const subscriber: Subscriber = {
  key: 'bench',
  isConnected: true,
  isLeaving: false,
  isDurable: false,
  deliver: () => null,
  deliverRun: () => true,
};

function matching(): Measured[] {
  const tree = new SubscriptionTree<number>();
  const namespace = new Namespace('bench');
  for (let i = 0; i < EXACT; i++) {
    tree.set(topic(i), i);
    namespace.subscribe(subscriber, subscription(topic(i)));
  }
  for (let i = 0; i < WILDCARDS; i++) {
    tree.set(wildcard(i), i);
    namespace.subscribe(subscriber, subscription(wildcard(i)));
  }
  const topics = Array.from({ length: 20_000 }, (_, i) => topic(i * 3));
  return [
    measure('match a topic, 100,000 filters, 20 % wildcards, not cached', (times) => {
      for (let i = 0; i < times; i++) {
        const found: number[] = [];
        tree.match(topics[i % topics.length]!, found);
        sink.value = found;
      }
    }),
    measure('look up a topic among 20,000 that are cached', (times) => {
      for (let i = 0; i < times; i++) sink.value = namespace.entry(topics[i % topics.length]!);
    }),
    measure('a topic entry anew, with one exact filter', (times) => {
      for (let i = 0; i < times; i++) {
        const name = topic(i % EXACT);
        namespace.subscribe(subscriber, subscription(name));
        sink.value = namespace.entry(name);
      }
    }),
    measure('a new topic entry with 50 subscribers', (times) => {
      const crowd = new Namespace('crowd');
      for (let i = 0; i < 50; i++) crowd.subscribe({ ...subscriber, key: `crowd-${i}` }, subscription('crowd/#'));
      for (let i = 0; i < times; i++) {
        // Any wildcard subscription makes every entry stale.
        crowd.subscribe(subscriber, subscription('other/#'));
        sink.value = crowd.entry('crowd/topic');
      }
    }),
    measure('subscribe and unsubscribe, exact filter', (times) => {
      for (let i = 0; i < times; i++) {
        const filter = `new/${i}`;
        namespace.subscribe(subscriber, subscription(filter));
        namespace.unsubscribe(subscriber, filter);
      }
    }),
    measure('subscribe and unsubscribe, wildcard filter', (times) => {
      for (let i = 0; i < times; i++) {
        const filter = `new/${i}/+`;
        namespace.subscribe(subscriber, subscription(filter));
        namespace.unsubscribe(subscriber, filter);
      }
    }),
    measure('subscribe and unsubscribe, wildcard filter, and the next publish', (times) => {
      for (let i = 0; i < times; i++) {
        const filter = `new/${i}/+`;
        namespace.subscribe(subscriber, subscription(filter));
        namespace.unsubscribe(subscriber, filter);
        sink.value = namespace.entry(topics[i % 50]!);
      }
    }),
  ];
}

function batches(): Measured[] {
  const packet = Buffer.concat([Buffer.from([0x30, 83, 0, 17]), Buffer.from('bench/pair/000042'), Buffer.alloc(64, 0x2e)]);
  const packets = Buffer.concat(Array.from({ length: 20 }, () => packet));
  const run: Run = { buf: packets, start: 0, end: packets.length, count: 20, version: 4, other: null, from: '' };
  const record = {
    message: new Message('bench/pair/000042', Buffer.alloc(64), 1, false, EMPTY, 0, 'bench'),
    toSubscribers: true,
    groups: null,
    store: false,
  };
  const keep = { onPublish: (_: string, got: unknown) => (sink.value = got), onRun: (_: string, got: unknown) => (sink.value = got) };
  /** The reader learns names from the writer's first batch. */
  const turn = new ReadTurn();
  const cross = (write: (writer: BatchWriter) => void) => {
    const writer = new BatchWriter();
    const reader = new BatchReader(1);
    return (times: number): void => {
      for (let i = 0; i < times; i += BATCH) {
        for (let k = 0; k < BATCH; k++) write(writer);
        for (const part of writer.take()) for (let at = 0; at < part.used; ) at = reader.read(part, at, keep, turn);
      }
    };
  };
  return [
    measure(
      'peer batch: write and read a QoS 1 message, 64 B',
      cross((writer) => writer.publish('bench', record)),
    ),
    measure(
      'peer batch: write and read a run of 20 QoS 0 messages, 64 B',
      cross((writer) => writer.run('bench', run)),
    ),
  ];
}

export function routing(): Measured[] {
  return [...matching(), ...batches()];
}
