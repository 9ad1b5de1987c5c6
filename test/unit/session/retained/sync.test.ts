/**
 * Replicas of retained messages against a model: whatever is published on which node, with clocks that differ, while messages are lost and
 * links break, all nodes have the newest of each topic when they are linked again, and nothing that was deleted or has expired comes back.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RetainedSync } from '../../../../workers/host/retained/sync.ts';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../../workers/shared/messages/message.ts';
import { isNewer } from '../../../../workers/shared/messages/stamp.ts';
import { type NodeOptions, retainedNode, TODAY } from './node-kit.ts';

const NODES = 3;
const SKEW_MS = [0, 30_000, -30_000];

interface Frame {
  readonly from: number;
  readonly to: number;
  readonly give: () => void;
}

class Field {
  now = 1_000;
  readonly nodes = SKEW_MS.map((skew, at) => this.#node(at, skew));
  readonly links = new Set<string>();
  /** in order for each kind and direction; which one goes next is chosen */
  readonly lanes = new Map<string, Frame[]>();
  /** the newest change of each topic */
  readonly model = new Map<string, Message>();
  frames = 0;
  largest = 0;
  compared: string[] = [];

  #node(at: number, skew: number, options: NodeOptions = {}) {
    const node = retainedNode({ name: `n${at}`, wall: () => TODAY + this.now + skew, ...options });
    const sync = new RetainedSync({
      store: node.store,
      retain: (namespace, message) => node.keeper.retainRemote(namespace, message),
      withdraw: (namespace, topic, stamp) => node.keeper.withdraw(namespace, topic, stamp),
      send: (name, frame) => this.#sent(at, Number(name.slice(1)), frame),
      now: () => this.now,
      onCompared: (name) => this.compared.push(`n${at} ${name}`),
      logger: () => node.logger,
    });
    return { ...node, sync };
  }

  /** @param limits of node `at`, which is new */
  replace(at: number, options: NodeOptions): void {
    for (let other = 0; other < NODES; other++) if (other !== at) this.cut(at, other);
    this.nodes[at] = this.#node(at, SKEW_MS[at]!, options);
  }

  #sent(from: number, to: number, frame: Buffer): void {
    this.frames++;
    this.largest = Math.max(this.largest, frame.length);
    const copy = Uint8Array.from(frame);
    this.#push('sync', { from, to, give: () => this.nodes[to]!.sync.receive(`n${from}`, copy, 0) });
  }

  #push(kind: string, frame: Frame): void {
    if (!this.isLinked(frame.from, frame.to)) return;
    const lane = `${kind} ${frame.from} ${frame.to}`;
    this.lanes.set(lane, [...(this.lanes.get(lane) ?? []), frame]);
  }

  isLinked(one: number, other: number): boolean {
    return this.links.has(`${Math.min(one, other)} ${Math.max(one, other)}`);
  }

  link(one: number, other: number): void {
    if (one === other || this.isLinked(one, other)) return;
    this.links.add(`${Math.min(one, other)} ${Math.max(one, other)}`);
    this.nodes[one]!.sync.up(`n${other}`);
    this.nodes[other]!.sync.up(`n${one}`);
    // Messages published before the link must be handled first. That takes a while, which the other node does not notice.
    this.#push('begin', { from: one, to: other, give: () => this.nodes[one]!.sync.tell(`n${other}`) });
    this.#push('begin', { from: other, to: one, give: () => this.nodes[other]!.sync.tell(`n${one}`) });
  }

  cut(one: number, other: number): void {
    if (!this.isLinked(one, other)) return;
    this.links.delete(`${Math.min(one, other)} ${Math.max(one, other)}`);
    for (const [lane, frames] of this.lanes) {
      const { from, to } = frames[0] ?? { from: -1, to: -1 };
      if ([one, other].includes(from) && [one, other].includes(to)) this.lanes.delete(lane);
    }
    this.nodes[one]!.sync.down(`n${other}`);
    this.nodes[other]!.sync.down(`n${one}`);
  }

  /** @param lost nodes that do not get it live, as bits */
  publish(at: number, topic: string, text: string, expiresAt: number, lost: number, namespace = 'd'): void {
    const { keeper, clock } = this.nodes[at]!;
    const stamp = clock.next();
    const make = (source: number) => {
      const message = new Message(topic, Buffer.from(text), 0, true, EMPTY, expiresAt, '');
      message.source = source;
      message.serial = 1;
      message.stamp = stamp;
      return message;
    };
    const known = this.model.get(topic);
    if (namespace === 'd' && (known === undefined || isNewer(stamp, known.stamp))) this.model.set(topic, make(1));
    keeper.retain(namespace, make(1));
    for (let to = 0; to < NODES; to++) {
      const foreign = make((at + 1) * SOURCES_PER_NODE + 1);
      const give = () => this.nodes[to]!.keeper.retain(namespace, foreign);
      if (to !== at && (lost & (1 << to)) === 0) this.#push('live', { from: at, to, give });
    }
  }

  wait(ms: number): void {
    this.now += ms;
  }

  /** Some lane gives its next frame. */
  give(which: number): boolean {
    const lanes = [...this.lanes].filter(([, frames]) => frames.length > 0);
    if (lanes.length === 0) return false;
    lanes[which % lanes.length]![1].shift()!.give();
    return true;
  }

  settle(): void {
    let n = 0;
    while (this.give(n)) {
      n += 7;
      expect(n).toBeLessThan(70_000);
    }
  }

  rest(): void {
    for (let one = 0; one < NODES; one++) for (let other = 0; other < one; other++) this.link(one, other);
    this.settle();
    // Frames that crossed during a comparison may have been lost.
    for (let look = 0; look < NODES; look++) {
      for (const { sync } of this.nodes) sync.look();
      this.settle();
    }
  }

  /** Everything that is retained, by the model. */
  expected(): Record<string, string> {
    const expected: Record<string, string> = {};
    for (const [topic, message] of this.model)
      if (message.payload.length > 0 && !message.isExpired(this.now)) expected[topic] = message.payload.toString();
    return expected;
  }
}

type Act = (field: Field) => void | Promise<void>;

const node = fc.nat(NODES - 1);
const publishing = fc.tuple(node, fc.constantFrom('a', 'b/c', 'd'), fc.constantFrom('', 'x', 'y', 'z'), fc.boolean(), fc.nat(7)).map(
  ([at, topic, text, expires, lost]): Act =>
    (field) =>
      field.publish(at, topic, text, expires ? field.now + 500 : 0, lost),
);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: publishing },
  {
    weight: 6,
    arbitrary: fc.nat(20).map(
      (n): Act =>
        (field) =>
          void field.give(n),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(node, node).map(
      ([one, other]): Act =>
        (field) =>
          field.link(one, other),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(node, node).map(
      ([one, other]): Act =>
        (field) =>
          field.cut(one, other),
    ),
  },
  {
    weight: 1,
    arbitrary: node.map(
      (at): Act =>
        (field) =>
          field.nodes[at]!.sync.look(),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.nat(400).map(
      (ms): Act =>
        (field) =>
          field.wait(ms),
    ),
  },
  {
    weight: 1,
    arbitrary: node.map(
      (at): Act =>
        (field) =>
          field.nodes[at]!.store.sweep(field.now),
    ),
  },
);

test('at rest all nodes have the newest of each topic, and nothing comes back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 120 }), async (acts) => {
      const field = new Field();
      for (const each of acts) await each(field);
      field.rest();
      for (const { store } of field.nodes) await store.sweep(field.now);
      const expected = field.expected();
      const [first] = field.nodes;
      for (const { content, store, lines } of field.nodes) {
        expect(content()).toEqual(expected);
        expect(store.replica('d')?.digest ?? null).toEqual(first!.store.replica('d')?.digest ?? null);
        expect(lines).toEqual([]);
      }
    }),
    { numRuns: 200 },
  );
});

test('a new node pulls everything in pages of bounded size, and is compared only then; equal nodes say little', () => {
  const field = new Field();
  for (let n = 0; n < 6_000; n++) field.publish(0, `t/${n}`, `${n}`.padEnd(60, '.'), 0, 7, n % 2 === 0 ? 'd' : 'other');
  field.publish(0, 'large', 'L'.repeat(300_000), 0, 7);
  field.publish(0, 'gone', 'x', 0, 7);
  field.publish(0, 'gone', '', 0, 7);
  field.link(0, 1);
  while (field.compared.length === 0) {
    expect(Object.keys(field.nodes[1]!.content()).length).toBeLessThan(3_002);
    if (!field.give(1)) break;
  }
  field.settle();
  expect(field.compared.sort()).toEqual(['n0 n1', 'n1 n0']);
  for (const namespace of ['d', 'other']) expect(field.nodes[1]!.content(namespace)).toEqual(field.nodes[0]!.content(namespace));
  expect(field.nodes[1]!.store.replica('d')?.dead.has('gone')).toBe(true);
  expect(field.largest).toBeLessThan(128 * 1024 + 300_000 + 2_000);
  expect(field.nodes[1]!.sync.pulled).toBe(6_002);
  expect(field.nodes[0]!.sync.pulled).toBe(0);
  const { frames } = field;
  for (const { sync } of field.nodes) sync.look();
  field.settle();
  expect(field.frames - frames).toBe(2);
});

test('a node without room keeps what it has, counts what it lacks, and asks for that less and less often; other namespaces have their room', () => {
  const field = new Field();
  field.replace(1, { limits: { messages: 40, bytes: 1e9 } });
  field.publish(1, 'mine', 'x', 0, 7, 'other');
  for (let n = 0; n < 100; n++) field.publish(0, `t/${n}`, 'x', 0, 7);
  field.rest();
  const full = field.nodes[1]!;
  expect(Object.keys(full.content())).toHaveLength(19);
  expect(full.content('other')).toEqual({ mine: 'x' });
  expect(field.nodes[2]!.content('other')).toEqual({ mine: 'x' });
  expect(full.keeper.count(full.sync).cluster?.refused).toBeGreaterThanOrEqual(81);
  const { pulled } = full.sync;
  full.sync.look();
  field.nodes[0]!.sync.look();
  field.settle();
  expect(full.sync.pulled).toBe(pulled);
  // There is room again.
  for (let n = 0; n < 90; n++) field.publish(0, `t/${n}`, '', 0, 0);
  field.now += 30 * 60_000;
  field.rest();
  expect(full.content()).toEqual(field.nodes[0]!.content());
  expect(Object.keys(full.content())).toHaveLength(10);
});

test('what the node of its publisher has no room for is kept nowhere, whatever comes first, and its predecessor comes back', () => {
  for (const order of [0, 1]) {
    const field = new Field();
    field.replace(0, {
      limits: { messages: 1_000, bytes: 2_000 },
      onRefused: (namespace, message) => field.nodes[0]!.sync.withdraw(namespace, message),
    });
    field.rest();
    field.publish(0, 'a', 'small', 0, 0);
    field.settle();
    field.publish(0, 'a', 'large'.repeat(1_000), 0, 0);
    // Live messages and withdrawals take different ways.
    for (let n = order; field.give(n); n += 2);
    field.rest();
    for (const { content } of field.nodes) expect(content()).toEqual({ a: 'small' });
  }
});
