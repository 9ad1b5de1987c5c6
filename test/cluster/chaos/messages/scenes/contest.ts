/** Several clients connect with one identifier at once, on all nodes: one of them is left, and never two are. */

import * as encode from '../../../../kit/encode.ts';
import { RawClient } from '../../../../kit/raw-client.ts';
import { sleep, until } from '../../../../kit/until.ts';
import { pick, type World } from '../world.ts';
import type { Scene } from './scene.ts';

const ROUNDS_EVERY_MS = 1_500;
const CLIENTS = 6;
const ANSWER_MS = 30_000;
const SETTLED_MS = 15_000;

export class Contest implements Scene {
  readonly #world: World;
  #clients: RawClient[] = [];
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
  }

  async run(): Promise<void> {
    const { calm, random } = this.#world;
    while (!this.#isOver) {
      await sleep(ROUNDS_EVERY_MS * (0.5 + random()));
      if (!calm.isCalm) continue;
      await this.#round().catch(() => {});
      this.end();
    }
  }

  /** @throws Error when a node died, or was frozen for long */
  async #round(): Promise<void> {
    const { calm, nodes, port, random, trace } = this.#world;
    const { epoch } = calm;
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.open('tcp', port, 5, pick(nodes, random).address)));
    this.#clients = clients;
    for (const client of clients) client.send(encode.connect(5, { clientId: 'contest', keepAlive: 0, clean: random() < 0.7 }));
    const codes = (await Promise.all(clients.map((client) => client.expect('connack', ANSWER_MS)))).map(({ code }) => code);
    const open = () => clients.filter(({ isClosed }) => !isClosed);
    await until('one is left', () => open().length <= 1, SETTLED_MS).catch(() => {});
    // With a harm in between, nodes that were parted may each have let one in.
    if (calm.epoch !== epoch) return;
    trace.count('contests for an identifier');
    const left = open();
    if (left.length !== 1) trace.fault('twice connected', `${left.length} of ${CLIENTS} are left; CONNACK ${codes.join(', ')}`);
    else await left[0]!.ping();
  }

  stop(): void {
    this.#isOver = true;
  }

  async judge(): Promise<void> {}

  end(): void {
    for (const client of this.#clients) client.destroy();
  }
}
