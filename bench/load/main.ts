/** The process of the load generator: takes its task as JSON in the first argument and prints the result as JSON. */

import type { Order, RunResult } from '../scenario.ts';
import { sleep } from './clock.ts';
import { idle, storm } from './connections.ts';
import { Flow } from './flow.ts';
import { Meter } from './meter.ts';
import { subscribeMany } from './subscriptions.ts';

/** A broker that delivers nothing for this long has lost the rest. */
const STALL_MS = 2000;

async function run(order: Order): Promise<RunResult> {
  const meter = new Meter(order);
  if (order.load.kind === 'storm') return storm(order, meter);
  if (order.load.kind === 'idle') return idle(order, meter);
  const flow = new Flow(order);
  await flow.open();
  flow.start();
  await sleep(order.warmup * 1000);
  await meter.start();
  flow.latencies.clear();
  const before = { delivered: flow.delivered, published: flow.published };
  const subscribed = order.load.newFilters > 0 ? subscribeMany(order) : Promise.resolve();
  await sleep(order.duration * 1000);
  const stopping = meter.stop();
  const delivered = flow.delivered - before.delivered;
  const published = flow.published - before.published;
  const result = await stopping;
  Object.assign(result, { delivered, published });
  result.latency = flow.latencies.summary();
  result.connections = flow.connections;
  flow.isSending = false;
  await subscribed;
  await drain(flow);
  result.total = flow.delivered;
  result.lost = Math.max(0, flow.missing);
  result.duplicated = flow.duplicated;
  result.disordered = flow.disordered;
  result.failure = flow.failure;
  flow.close();
  return result;
}

async function drain(flow: Flow): Promise<void> {
  let last = -1;
  let since = performance.now();
  while (flow.missing > 0 && performance.now() - since < STALL_MS) {
    if (flow.delivered !== last) {
      last = flow.delivered;
      since = performance.now();
    }
    await sleep(10);
  }
}

const order = JSON.parse(process.argv[2]!) as Order;
const result = await run(order).catch(
  async (error: Error): Promise<RunResult> => ({ ...(await new Meter(order).stop()), failure: error.message }),
);
process.stdout.write(JSON.stringify(result), () => process.exit(0));
