/** Clean starts: a client connects anywhere, subscribes, and must get what is published anywhere after its SUBACK, as long as it is connected. */

import * as encode from '../../../../kit/encode.ts';
import { RawClient } from '../../../../kit/raw-client.ts';
import { sleep } from '../../../../kit/until.ts';
import { Arrivals } from '../arrivals.ts';
import { pick, type World } from '../world.ts';
import type { Scene } from './scene.ts';

const STAYS_MS = 2_500;
const LOOK_MS = 50;
/** With all nodes linked, what was acknowledged comes within this time. */
const CALM_MS = 15_000;
const ANSWER_MS = 30_000;

export class Newcomers implements Scene {
  readonly #world: World;
  #isOver = false;
  #current: RawClient | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  async run(): Promise<void> {
    for (let round = 0; !this.#isOver; round++) {
      try {
        await this.#visit(round);
      } catch {
        // The node was dead, or died during the visit: what the client would have got is gone with its session.
        await sleep(LOOK_MS);
      }
      this.#current?.destroy();
    }
  }

  /** @throws Error when the connection ends */
  async #visit(round: number): Promise<void> {
    const { nodes, port, random, calm, trace } = this.#world;
    const node = pick(nodes, random);
    const client = await RawClient.open('tcp', port, random() < 0.5 ? 5 : 4, node.address);
    this.#current = client;
    client.send(encode.connect(client.version, { clientId: 'newcomer', clean: true, keepAlive: 0 }));
    const { code, sessionPresent } = await client.expect('connack', ANSWER_MS);
    if (code !== 0) throw new Error(`CONNACK ${code}`);
    if (sessionPresent) trace.fault('session', `a clean start of newcomer found a session at ${node.name}`);
    const { epoch, isCalm } = calm;
    const arrivals = new Arrivals(this.#world, `newcomer ${round}`, 'load');
    client.send(encode.subscribe(client.version, client.id(), [{ filter: 'load/#', qos: 2 }]));
    const subacked = client.expect('suback', ANSWER_MS);
    await subacked;
    // A node that was not linked need not know the filter yet.
    let isJudged = isCalm && calm.epoch === epoch;
    if (isJudged) arrivals.expectFromNow();
    client.autoAcknowledge((message) => arrivals.take(message, node.name));
    const leavesAt = performance.now() + STAYS_MS;
    while (performance.now() < leavesAt && !this.#isOver && !client.isClosed) {
      await sleep(LOOK_MS);
      if (!isJudged && calm.isCalm) {
        isJudged = true;
        arrivals.expectFromNow();
      }
    }
    if (isJudged) await this.#complete(client, arrivals);
    if (client.isClosed) throw new Error('its node has ended');
    client.send(encode.disconnect());
    trace.count('clean starts');
  }

  /** Waits for what was acknowledged until now. */
  async #complete(client: RawClient, arrivals: Arrivals): Promise<void> {
    const now = performance.now();
    let calmFor = 0;
    let last = now;
    while (!client.isClosed && arrivals.missing(now).length > 0 && calmFor < CALM_MS) {
      await sleep(LOOK_MS);
      const moment = performance.now();
      calmFor = this.#world.calm.isCalm ? calmFor + moment - last : 0;
      last = moment;
    }
    if (!client.isClosed) arrivals.judge(now);
  }

  stop(): void {
    this.#isOver = true;
  }

  async judge(): Promise<void> {}

  end(): void {
    this.#current?.destroy();
  }
}
