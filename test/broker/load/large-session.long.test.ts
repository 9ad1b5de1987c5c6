/** A session with tens of thousands of subscriptions comes, goes, moves between threads and ends: in slices, so that nobody else waits for it, and nothing is lost. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { Passes } from '../../kit/passes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { subscribeMany } from '../../kit/subscribe-many.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { WIDE } from './places.ts';

const FILTERS = 25_000;
/** CPU time of one pass of an event loop, milliseconds; in one go the filters take several times that. */
const PASS_MS = 100;
const SESSION = { clean: false, properties: { sessionExpiry: 300 } };

const passes = new Passes();
let broker: Broker;
const PLAIN = { ...WIDE, maxSubscriptions: 1_000_000, serverOptions: { workerGroupSize: 1 } };
beforeAll(async () => {
  broker = await startBroker(passes.measured({ endpoints: [PLAIN, { ...PLAIN, sessionPersistence: true }, PLAIN] }));
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
}, 40_000);

function filterOf(prefix: string, i: number): string {
  return `${prefix}/${i}/${i % 5 === 0 ? '+' : 'v'}`;
}

/** Publishes to every hundredth topic, and does not stop while something happens to the session. */
class Stream {
  readonly #publisher: RawClient;
  readonly #prefix: string;
  #isOver = false;
  readonly #running: Promise<void>;
  sent = 0;

  constructor(publisher: RawClient, prefix: string) {
    this.#publisher = publisher;
    this.#prefix = prefix;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const topic = `${this.#prefix}/${(this.sent * 101) % FILTERS}/v`;
      expect(await this.#publisher.publish(topic, `${this.sent}`, { qos: 1 })).toBe(0);
      this.sent++;
      await sleep(2);
    }
  }

  async stop(): Promise<number> {
    this.#isOver = true;
    await this.#running;
    return this.sent;
  }
}

test.each([
  ['in memory', 0],
  ['on disk', 1],
] as const)(
  '%s: its client goes and comes back, here and at another endpoint, while messages for it are published',
  async (_name, endpoint) => {
    const prefix = uid('large/');
    const clientId = uid('c');
    const first = await connected('tcp', broker.ports[endpoint]!, 5, { clientId, ...SESSION });
    await subscribeMany(first, FILTERS, (i) => filterOf(prefix, i));
    const publisher = await connected('tcp', broker.ports[2]!, 5);
    const since = Date.now();
    const stream = new Stream(publisher, prefix);
    const got: number[] = [];
    let current = first;
    current.autoAcknowledge(({ payload }) => got.push(Number(payload)));
    for (const next of endpoint === 0 ? [2, 0] : [1, 1]) {
      await sleep(300);
      await current.cut();
      await sleep(700);
      current = await RawClient.open('tcp', broker.ports[next]!, 5);
      current.send(encode.connect(5, { clientId, ...SESSION }));
      expect(await current.expect('connack', 30_000)).toMatchObject({ code: 0, sessionPresent: true });
      current.autoAcknowledge(({ payload }) => got.push(Number(payload)));
    }
    await sleep(300);
    const sent = await stream.stop();
    await until('every message', () => new Set(got).size === sent, 20_000, 20);
    // QoS 1: one that was not acknowledged before the cut comes again. Otherwise in order.
    expect([...new Set(got)]).toEqual(Array.from({ length: sent }, (_, i) => i));
    const longest = passes.longest(since);
    expect(Math.max(0, ...Object.values(longest)), JSON.stringify(longest)).toBeLessThan(PASS_MS);
    await current.cut();
  },
  90_000,
);
