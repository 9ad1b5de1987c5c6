/** Durable sessions that go from node to node under load: by a takeover, or after a time without a connection. */

import { sleep, until } from '../../../../kit/until.ts';
import { Subscriber } from '../subscriber.ts';
import { pick, type World } from '../world.ts';
import type { Scene } from './scene.ts';

const STAYS_MS = [400, 2_000] as const;
const AWAY_MS = 300;
const COMPLETE_MS = 40_000;

export class Roaming implements Scene {
  readonly #world: World;
  readonly #subscribers: Subscriber[] = [];
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
  }

  async open(): Promise<this> {
    const { nodes } = this.#world;
    for (const version of [5, 4] as const) {
      const roamer = new Subscriber(this.#world, `roamer-${version}`, nodes[version % nodes.length]!, ['load/#'], { version });
      this.#subscribers.push(await roamer.subscribed());
    }
    return this;
  }

  async run(): Promise<void> {
    await Promise.all(this.#subscribers.map((each) => this.#lead(each)));
  }

  async #lead(subscriber: Subscriber): Promise<void> {
    const { calm, random, nodes, trace } = this.#world;
    while (!this.#isOver) {
      await sleep(STAYS_MS[0] + random() * (STAYS_MS[1] - STAYS_MS[0]));
      // A session whose node is away, or which is frozen during the move, need not be found (docs/cluster.md).
      if (!calm.isCalm || !subscriber.isSubscribed) continue;
      subscriber.arrivals.expectFromNow();
      const node = pick(
        nodes.filter((each) => each !== subscriber.node),
        random,
      );
      const isFirst = random() < 0.5;
      const { epoch } = calm;
      calm.hops++;
      try {
        trace.say(`${subscriber.id} goes from ${subscriber.node.name} to ${node.name}${isFirst ? ', offline' : ''}`);
        if (isFirst) subscriber.client?.destroy();
        if (isFirst) await sleep(random() * AWAY_MS);
        await subscriber.hop(node, isFirst, () => calm.epoch !== epoch);
        trace.count('sessions that moved');
      } finally {
        calm.hops--;
      }
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  async judge(): Promise<void> {
    for (const { arrivals } of this.#subscribers) {
      await until('everything', () => arrivals.missing().length === 0, COMPLETE_MS, 50).catch(() => {});
      arrivals.judge();
    }
  }

  end(): void {
    for (const each of this.#subscribers) each.end();
  }
}
