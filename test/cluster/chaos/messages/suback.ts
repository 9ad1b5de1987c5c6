/** After a SUBACK, a publish on another node, begun by a word out of band, reaches the subscriber: round after round, beside a storm of filters and dying relays. */

import * as encode from '../../../kit/encode.ts';
import { freePort } from '../../../kit/free-port.ts';
import { RawClient } from '../../../kit/raw-client.ts';
import { sleep } from '../../../kit/until.ts';
import { type FragileCluster, startFragileCluster } from '../../fragile-cluster.ts';
import { storeOf } from '../../kit.ts';
import { hostOf, untilLinked } from '../../messages-kit.ts';

export interface SubackReport {
  rounds: number;
  seconds: number;
  /** filters that others subscribed to in that time */
  otherFilters: number;
  relaysKilled: number;
  /** from SUBSCRIBE to SUBACK, milliseconds */
  subackMs: { p50: number; p99: number; max: number };
}

/** Pairs of subscriber and publisher: subscriber's node, publisher's node. */
const PAIRS: readonly (readonly [number, number])[] = [
  [0, 2],
  [1, 0],
  [2, 1],
  [0, 1],
];
const NODES = 3;
/** A relay dies at this number of rounds, of all pairs together, and then again each time. */
const KILL_EVERY = 5_000;
const KILLS_MIN = 2;
const STORM_PAUSE_MS = 5;
const STORM_FILTERS = 20;
const COMES_MS = 10_000;
const REPORT_EVERY = 10_000;
/** Half of the rounds leave the filter behind, so that the tables grow; the others take it back. */
const KEPT = 50;

/** Runs on a cluster of its own. @throws Error that names the first round whose message did not come */
export async function subackRounds(rounds: number, say: (line: string) => void): Promise<SubackReport> {
  const port = await freePort();
  const endpoint = { id: 'm', port, enableAuth: false };
  const fragile = await startFragileCluster({ store: storeOf(null, ''), endpoints: [endpoint] });
  try {
    return await new SubackRun(fragile, port, rounds, say).run();
  } finally {
    await fragile.stop();
  }
}

/** On a cluster that runs. */
export class SubackRun {
  readonly #fragile: FragileCluster;
  readonly #port: number;
  readonly #rounds: number;
  readonly #say: (line: string) => void;
  readonly #times: number[] = [];
  #begun = 0;
  #done = 0;
  #otherFilters = 0;
  #relaysKilled = 0;
  #isOver = false;

  constructor(fragile: FragileCluster, port: number, rounds: number, say: (line: string) => void) {
    this.#fragile = fragile;
    this.#port = port;
    this.#rounds = rounds;
    this.#say = say;
  }

  /** @throws Error that names the first round whose message did not come */
  async run(): Promise<SubackReport> {
    const startedAt = performance.now();
    const beside = [this.#storm(), this.#kill()];
    try {
      await Promise.all(PAIRS.map((pair, index) => this.#lane(index, pair)));
    } finally {
      this.#isOver = true;
      await Promise.all(beside);
    }
    const sorted = this.#times.toSorted((one, other) => one - other);
    const at = (share: number) => Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2));
    return {
      rounds: this.#done,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      otherFilters: this.#otherFilters,
      relaysKilled: this.#relaysKilled,
      subackMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    };
  }

  async #client(node: number): Promise<RawClient> {
    const client = await RawClient.open('tcp', this.#port, 5, hostOf(node));
    await client.handshake({ keepAlive: 0 });
    return client;
  }

  async #lane(lane: number, [here, there]: readonly [number, number]): Promise<void> {
    const [subscriber, publisher] = await Promise.all([this.#client(here), this.#client(there)]);
    // The last rounds wait for the last relay that is to die.
    while (!this.#isOver && (this.#begun < this.#rounds || this.#relaysKilled < KILLS_MIN)) {
      const round = this.#begun++;
      const topic = `round/${lane}/${round}`;
      const began = performance.now();
      await subscriber.subscribe(topic, round % 3 === 0 ? 0 : 1);
      this.#times.push(performance.now() - began);
      // QoS 1 without an answer to wait for: the next round is not behind it.
      publisher.send(encode.publish(5, topic, `${round}`, { qos: 1, id: publisher.id() }));
      try {
        const { payload } = await subscriber.take(COMES_MS);
        if (payload.toString() !== `${round}`) throw new Error(`got ${payload}`);
      } catch (error) {
        this.#isOver = true;
        throw new Error(`round ${round}, node ${here + 1} from node ${there + 1}: the message did not come`, { cause: error });
      }
      publisher.inbox.splice(0);
      if (round % 100 >= KEPT) await subscriber.unsubscribe(topic);
      this.#done++;
      if (this.#done % REPORT_EVERY === 0) this.#say(`${this.#done} rounds`);
    }
    subscriber.destroy();
    publisher.destroy();
  }

  /** Other filters come and go on all nodes. */
  async #storm(): Promise<void> {
    const clients = await Promise.all(Array.from({ length: NODES }, (_, node) => this.#client(node)));
    for (let n = 0; !this.#isOver; n++) {
      const filters = Array.from({ length: STORM_FILTERS }, (_, k) => `storm/${n}/${k}/${k % 5 === 0 ? '+' : 'x'}`);
      const client = clients[n % NODES]!;
      await client.subscribe(filters, 1);
      this.#otherFilters += filters.length;
      await client.unsubscribe(...filters.slice(1));
      await sleep(STORM_PAUSE_MS);
    }
    for (const client of clients) client.destroy();
  }

  /** Relays die one after the other. */
  async #kill(): Promise<void> {
    const { nodes } = this.#fragile.cluster;
    const every = Math.min(KILL_EVERY, Math.ceil(this.#rounds / (KILLS_MIN + 1)));
    for (let next = every; !this.#isOver; next += every) {
      while (!this.#isOver && this.#begun < next) await sleep(20);
      if (this.#isOver) return;
      await this.#fragile.crash(this.#relaysKilled % NODES, 'relay');
      await untilLinked(nodes);
      this.#relaysKilled++;
    }
  }
}
