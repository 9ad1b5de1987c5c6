/** A durable session that takes messages: it remembers across connections what QoS 2 requires, and roams when it is asked to. */

import type { Publish, ServerPacket } from '../../../kit/decode.ts';
import * as encode from '../../../kit/encode.ts';
import type { RawClient } from '../../../kit/raw-client.ts';
import { until } from '../../../kit/until.ts';
import type { ChaosNode } from '../field.ts';
import { Arrivals } from './arrivals.ts';
import { Steady } from './steady.ts';
import type { World } from './world.ts';

const SUBACK_MS = 30_000;

export class Subscriber extends Steady {
  readonly #filters: readonly string[];
  readonly #onMessage: (message: Publish) => void;
  /** QoS 2 identifiers between PUBLISH and PUBREL [MQTT-4.3.3-10] */
  readonly #received = new Set<number>();
  readonly #isShared: boolean;
  #isSubscribed = false;
  /** a connection of the session ended because its node or thread died */
  #hasDied = false;
  #mayLoseSession = () => false;
  arrivals: Arrivals;

  /** @param onMessage gets each message that is no repeat of the session's own flow */
  constructor(
    world: World,
    id: string,
    node: ChaosNode,
    filters: readonly string[],
    options: { version?: 4 | 5; isShared?: boolean; onMessage?: (message: Publish) => void } = {},
  ) {
    super(world, id, node, options.version ?? 5);
    this.#filters = filters;
    this.#isShared = options.isShared ?? false;
    this.#onMessage = options.onMessage ?? (() => undefined);
    this.arrivals = this.#newArrivals();
  }

  get isSubscribed(): boolean {
    return this.#isSubscribed && this.client !== null;
  }

  /** Connects, and waits for the SUBACK. */
  async subscribed(): Promise<this> {
    await this.begin();
    await until(`${this.id} is subscribed`, () => this.#isSubscribed, SUBACK_MS);
    this.arrivals.expectFromNow();
    return this;
  }

  /** Goes to another node. @param mayLoseSession asked when the session is not there: the node that has it may have died */
  async hop(node: ChaosNode, isFirst: boolean, mayLoseSession: () => boolean): Promise<void> {
    this.#mayLoseSession = mayLoseSession;
    await this.moveTo(node, isFirst);
    this.#mayLoseSession = () => false;
  }

  protected override onSessionLost(): void {
    if (!this.#mayLoseSession()) {
      super.onSessionLost();
    } else {
      this.world.trace.count('sessions that were away with their node');
      this.world.trace.say(`${this.id} begins anew at ${this.node.name}: its session was away`);
    }
    this.#received.clear();
    this.#isSubscribed = false;
    this.arrivals = this.#newArrivals();
  }

  #newArrivals(): Arrivals {
    return new Arrivals(this.world, this.id, this.#isShared ? null : 'load');
  }

  protected override onEnd(): void {
    this.#hasDied = true;
  }

  protected override onConnected(client: RawClient): void {
    if (this.#isSubscribed) return;
    const filters = this.#filters.map((filter) => ({ filter, qos: 2 as const }));
    client.send(encode.subscribe(this.version, client.id(), filters));
  }

  protected override onPacket(client: RawClient, packet: ServerPacket): void {
    if (packet.type === 'publish') this.#take(client, packet);
    else if (packet.type === 'pubrel') {
      this.#received.delete(packet.id);
      client.send(encode.pubcomp(packet.id));
    } else if (packet.type === 'suback') this.#isSubscribed = true;
  }

  #take(client: RawClient, message: Publish): void {
    if (message.qos === 1) client.send(encode.puback(message.id));
    if (message.qos === 2) {
      client.send(encode.pubrec(message.id));
      if (this.#received.has(message.id)) return;
      this.#received.add(message.id);
    }
    this.arrivals.take(message, this.node.name, this.#hasDied);
    this.#onMessage(message);
  }
}
