/** Clients with wills, which leave, are cut off, or die with their node: each will comes once, or never after a DISCONNECT. */

import * as encode from '../../../../kit/encode.ts';
import { RawClient } from '../../../../kit/raw-client.ts';
import { sleep, until } from '../../../../kit/until.ts';
import type { ChaosNode } from '../../field.ts';
import { pick, type World } from '../world.ts';
import type { Scene } from './scene.ts';

/** A will of a connection that is younger than this may be lost, or come twice, when its node dies (docs/cluster.md). */
const YOUNG_MS = 1_500;
/** Until then another node keeps the will of a client whose node has died: silence, and the grace. That node's session worker may die, too. */
const KEPT_MS = 6_500;
const STAYS_MS = 4_000;
const LOOK_MS = 50;
const ANSWER_MS = 30_000;
const COME_MS = 40_000;

type Expected = 'once' | 'never' | 'at least once' | 'at most once' | 'any';

export class Wills implements Scene {
  readonly #world: World;
  /** by client identifier */
  readonly #expected = new Map<string, { expected: Expected; endedAt: number; hasDied: boolean; tale: string }>();
  /** at each ear: how often each will came */
  readonly #heard: Map<string, number>[];
  readonly #clients = new Set<RawClient>();
  #serial = 0;
  #isOver = false;

  /** @param ears number of subscribers that tell what they hear by heard() */
  constructor(world: World, ears: number) {
    this.#world = world;
    this.#heard = Array.from({ length: ears }, () => new Map<string, number>());
  }

  /** A will has come to an ear. */
  heard(ear: number, id: string): void {
    const heard = this.#heard[ear]!;
    const times = (heard.get(id) ?? 0) + 1;
    heard.set(id, times);
    if (times > 1) this.#world.trace.say(`the will of ${id} came ${times} times to ear ${ear + 1}`);
  }

  async run(): Promise<void> {
    await Promise.all(this.#world.nodes.map((node) => this.#lives(node)));
  }

  /** One client after the other at a node. */
  async #lives(node: ChaosNode): Promise<void> {
    while (!this.#isOver) {
      await this.#life(node).catch(() => {});
      await sleep(LOOK_MS);
    }
  }

  async #life(node: ChaosNode): Promise<void> {
    const { port, random, calm } = this.#world;
    const id = `mortal-${this.#serial++}`;
    const client = await RawClient.open('tcp', port, random() < 0.5 ? 5 : 4, node.address);
    this.#clients.add(client);
    // Until its CONNACK nobody can say whether the broker has the will.
    this.#expect(id, 'any', `refused at ${node.name}`);
    try {
      const will = { topic: `will/${id}`, payload: id, qos: pick([1, 2] as const, random) };
      client.send(encode.connect(client.version, { clientId: id, clean: random() < 0.5, keepAlive: 0, will }));
      const { code } = await client.expect('connack', ANSWER_MS);
      if (code !== 0) return;
      const born = performance.now();
      const leavesAt = born + YOUNG_MS + random() * STAYS_MS;
      while (!client.isClosed && !this.#isOver && (performance.now() < leavesAt || !calm.isCalm)) await sleep(LOOK_MS);
      const now = performance.now();
      // A will of a node that was parted for longer than the grace may have been published.
      const wasParted = calm.wasHarmed(born, now);
      const how = client.isClosed ? `died with ${node.name}` : random() < 0.5 ? 'cut off' : 'left';
      const isUncertain = now - born < YOUNG_MS;
      const expected: Expected = client.isClosed
        ? isUncertain
          ? 'any'
          : 'once'
        : how === 'cut off'
          ? 'once'
          : wasParted
            ? 'at most once'
            : 'never';
      const { trace } = this.#world;
      this.#expect(id, expected, `${how}, connected ${trace.at(born)}, ended ${trace.at(now)} at ${node.name}`, client.isClosed);
      if (how === 'left') {
        client.send(encode.disconnect());
        await client.closed();
      }
    } finally {
      client.destroy();
      this.#clients.delete(client);
    }
  }

  #expect(id: string, expected: Expected, tale: string, hasDied = false): void {
    this.#expected.set(id, { expected, endedAt: performance.now(), hasDied, tale });
  }

  #taleOf(id: string): string {
    const { expected = 'any', tale = 'unknown' } = this.#expected.get(id) ?? {};
    return `the will of ${id} (${tale}; expected: ${expected})`;
  }

  stop(): void {
    this.#isOver = true;
  }

  async judge(): Promise<void> {
    const { trace, calm } = this.#world;
    // When its node is parted or dies right after the connection, a will may come twice.
    for (const each of this.#expected.values())
      if (each.expected !== 'never' && calm.wasHarmed(each.endedAt, each.endedAt + YOUNG_MS))
        each.expected = each.expected === 'once' ? 'at least once' : 'any';
    for (const each of this.#expected.values())
      if (each.hasDied && calm.hadDeath(each.endedAt, each.endedAt + KEPT_MS)) each.expected = 'any';
    const due = [...this.#expected].flatMap(([id, { expected }]) => (expected === 'once' || expected === 'at least once' ? id : []));
    trace.count('wills', due.length);
    await until('all wills', () => this.#heard.every((heard) => due.every((id) => heard.has(id))), COME_MS, 50).catch(() => {});
    for (const [ear, heard] of this.#heard.entries()) {
      for (const id of due) if (!heard.has(id)) trace.fault('will', `${this.#taleOf(id)} did not come to ear ${ear + 1}`);
      for (const [id, times] of heard) {
        const expected = this.#expected.get(id)?.expected ?? 'any';
        const most = expected === 'never' ? 0 : expected === 'any' || expected === 'at least once' ? Number.POSITIVE_INFINITY : 1;
        if (times > most) trace.fault('will', `${this.#taleOf(id)} came ${times} times to ear ${ear + 1}`);
      }
    }
  }

  end(): void {
    for (const client of this.#clients) client.destroy();
  }
}
