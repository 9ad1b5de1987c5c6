/** Connections without messages: storms of them, and many idle ones. */

import type { Order, RunResult } from '../scenario.ts';
import { residentBytes, sleep } from './clock.ts';
import { Latencies } from './latency.ts';
import { Link } from './link.ts';
import type { Meter } from './meter.ts';

const AT_ONCE = 200;
/** Longest wait until a broker has dropped its connections. */
const SETTLE_MS = 1500;

/** Opens `count` connections, at most 200 at a time, and adds the time of each from the call to CONNACK. */
async function openMany(order: Order, count: number, latencies: Latencies): Promise<Link[]> {
  const links: Link[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      const startedAt = performance.now();
      links.push(await new Link(order.load, order.at?.publishers ?? order.port, index, `bench-storm-${index}`).opened());
      latencies.add((performance.now() - startedAt) * 1000);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return links;
}

/** Opens and closes all connections, again and again until the time is over. The cost includes the end of each connection. */
export async function storm(order: Order, meter: Meter): Promise<RunResult> {
  const latencies = new Latencies();
  const round = async (): Promise<number> => {
    const links = await openMany(order, order.load.connections, latencies);
    for (const link of links) link.close();
    return links.length;
  };
  const warmUntil = performance.now() + order.warmup * 1000;
  do await round();
  while (performance.now() < warmUntil);
  latencies.clear();
  await sleep(200);
  await meter.start();
  const endsAt = performance.now() + order.duration * 1000;
  let count = 0;
  while (performance.now() < endsAt) count += await round();
  await sleep(100);
  return { ...(await meter.stop()), delivered: count, latency: latencies.summary(), connections: order.load.connections };
}

/** Opens connections and leaves them idle; their cost is the growth of the broker's memory. */
export async function idle(order: Order, meter: Meter): Promise<RunResult> {
  const latencies = new Latencies();
  // Code that a broker loads with its first connection is not part of the price of the others.
  for (const link of await openMany(order, 100, latencies)) link.close();
  await sleep(SETTLE_MS);
  const rssBefore = residentBytes(order.brokerPid);
  const links = await openMany(order, order.load.connections, latencies);
  await sleep(SETTLE_MS);
  await meter.start();
  await sleep(order.duration * 1000);
  const result = { ...(await meter.stop()), delivered: 0, latency: null, connections: links.length, rssBefore };
  for (const link of links) link.close();
  return result;
}
