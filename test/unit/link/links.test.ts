/** The links of three nodes over one wire: each pair is apart from the others, and what is written in one turn leaves as one frame. */

import { expect, test } from 'vitest';
import { Links, type LinkTimers } from '../../../src/link/links.ts';
import { FaultyWire, seeded } from '../../kit/faulty-wire.ts';

const NAMES = ['a', 'b', 'c'];

class Nodes {
  readonly wire: FaultyWire;
  readonly links = new Map<string, Links>();
  readonly heard: string[] = [];
  readonly events: string[] = [];
  readonly #ticks = new Set<() => void>();
  #soon: (() => void)[] = [];
  readonly #timers: LinkTimers = {
    every: (_ms, run) => {
      this.#ticks.add(run);
      return () => this.#ticks.delete(run);
    },
    soon: (run) => this.#soon.push(run),
  };

  constructor() {
    const random = seeded(3);
    this.wire = new FaultyWire(random);
    const draw = () => Math.floor(random() * 2 ** 32);
    for (const name of NAMES) {
      const options = { incarnation: draw(), now: this.wire.now, random32: draw };
      this.links.set(name, new Links(this.wire.transport(name), options, this.#timers));
    }
  }

  get ticking(): number {
    return this.#ticks.size;
  }

  join(name: string, other: string) {
    return this.links.get(name)!.add(other, {
      up: () => this.events.push(`${name}: ${other} up`),
      down: (reason) => this.events.push(`${name}: ${other}: ${reason}`),
      deliver: (lane, packet) => this.heard.push(`${other} to ${name}, ${lane}: ${Buffer.from(packet)}`),
      acked: (lane, count) => this.events.push(`${name}: ${other} has ${count} of ${lane}`),
      room: () => {},
    });
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed++) {
      this.wire.advance(1);
      if (passed % 20 === 0) for (const tick of this.#ticks) tick();
      for (const run of this.#soon.splice(0)) run();
    }
  }
}

test('each pair of nodes has a link; frames of nodes without one are counted; the end of one reaches the other side', async () => {
  const nodes = new Nodes();
  const [a, b, c] = NAMES.map((name) => nodes.links.get(name)!);
  const ab = nodes.join('a', 'b');
  nodes.join('b', 'a');
  nodes.join('b', 'c');
  expect(() => nodes.join('a', 'b')).toThrow();
  nodes.run(500);
  expect(nodes.events).toEqual(expect.arrayContaining(['a: b up', 'b: a up']));
  expect([c!.strangers > 0, a!.write('c', 0, Buffer.from('x'))]).toEqual([true, null]);
  nodes.join('c', 'b');
  nodes.run(2_500);
  nodes.events.length = 0;
  const before = ab.counts.sent;
  for (const text of ['1', '2', '3']) expect(a!.write('b', 7, Buffer.from(text))).toBeGreaterThan(0);
  b!.write('c', 1, Buffer.from('4'));
  nodes.run(10);
  expect(nodes.heard.toSorted()).toEqual(['a to b, 7: 1', 'a to b, 7: 2', 'a to b, 7: 3', 'b to c, 1: 4']);
  expect(ab.counts.sent).toBe(before + 1);
  expect(nodes.events.toSorted()).toEqual(['a: b has 3 of 7', 'b: c has 1 of 1']);
  a!.remove('b');
  nodes.run(10);
  expect(nodes.events.at(-1)).toBe('b: a: the other node said goodbye');
  await b!.close();
  await b!.close();
  nodes.run(10);
  expect(nodes.events.at(-1)).toBe('c: b: the other node said goodbye');
  expect(() => nodes.join('b', 'a')).toThrow();
  expect(nodes.ticking).toBe(2);
});
