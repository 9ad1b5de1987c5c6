/** A shared subscription with a member on each node: each acknowledged message goes to one of them. */

import { until } from '../../../../kit/until.ts';
import type { Publisher } from '../publisher.ts';
import { Subscriber } from '../subscriber.ts';
import type { World } from '../world.ts';
import type { Scene } from './scene.ts';

const COMPLETE_MS = 40_000;

export class Jobs implements Scene {
  readonly #world: World;
  readonly #publishers: readonly Publisher[];
  readonly #members: Subscriber[] = [];
  /** by message: who got it */
  readonly #takers = new Map<string, string>();

  constructor(world: World, publishers: readonly Publisher[]) {
    this.#world = world;
    this.#publishers = publishers;
  }

  async open(): Promise<this> {
    for (const node of this.#world.nodes) {
      const id = `member-${node.name}`;
      const member = new Subscriber(this.#world, id, node, ['$share/jobs/job/#'], {
        isShared: true,
        onMessage: ({ payload, dup }) => this.#take(payload.toString(), id, dup),
      });
      this.#members.push(await member.subscribed());
    }
    return this;
  }

  #take(text: string, who: string, dup: boolean): void {
    const former = this.#takers.get(text);
    this.#takers.set(text, who);
    if (former === undefined || (former === who && dup)) return;
    const [name = '', number = ''] = text.split(':');
    const publisher = this.#publishers.find((each) => each.name === name);
    const sent = publisher?.log[Number(number)];
    if (publisher === undefined || sent === undefined) return;
    // A member whose node was away may have had the message before another one got it.
    const { calm } = this.#world;
    // So may one whose thread has died; a QoS 2 message goes to nobody else then.
    const isAgain = publisher.qos === 1 && calm.hadDeath(sent.sentAt, performance.now());
    if (sent.isDoubtful || isAgain || calm.wasHarmed(sent.sentAt, performance.now()))
      this.#world.trace.count('shared messages twice, after a harm');
    else this.#world.trace.fault('repeated', `${text} went to ${former} and to ${who} of a shared subscription`);
  }

  async run(): Promise<void> {}

  stop(): void {}

  async judge(): Promise<void> {
    const { trace } = this.#world;
    const missing = () =>
      this.#publishers.flatMap(({ name, qos, log }) =>
        log.flatMap(({ ackedAt }, number) => (qos > 0 && ackedAt > 0 && !this.#takers.has(`${name}:${number}`) ? { name, number } : [])),
      );
    await until('every job', () => missing().length === 0, COMPLETE_MS, 50).catch(() => {});
    for (const { name, number } of missing()) {
      const { log, qos } = this.#world.publishers.get(name)!;
      const { sentAt, ackedAt } = log[number]!;
      // A QoS 2 message that a dying thread had not stored is lost (docs/cluster.md).
      if (qos === 2 && this.#world.calm.hadDeath(sentAt, ackedAt)) {
        trace.count('shared QoS 2 messages lost with a thread');
        continue;
      }
      const tale = this.#members[0]!.arrivals.tale(this.#world.publishers.get(name)!, number);
      trace.fault('lost', `${tale}, for a shared subscription`);
    }
    trace.count('shared messages', this.#takers.size);
  }

  end(): void {
    for (const member of this.#members) member.end();
  }
}
