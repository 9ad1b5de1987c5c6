/** Many endpoints on one node: the time to add them, the cost of each, and whether all answer. */

import { type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { WIDE } from './rebind.ts';

export interface DensityReport {
  endpoints: number;
  exclusivePool: boolean;
  seconds: number;
  /** resident memory of the process per endpoint */
  mibEach: number;
  /** endpoints that an MQTT health probe found healthy */
  healthy: number;
}

const AT_ONCE = 4;
const MIB = 1024 * 1024;

async function rss(broker: Broker): Promise<number> {
  const { body } = await broker.api('GET', '/api/system/resources');
  return (body as { data: { memory: { rssBytes: number } } }).data.memory.rssBytes;
}

async function add(broker: Broker, exclusivePool: boolean): Promise<void> {
  const { status, body } = await broker.api('POST', '/api/endpoints/add', { ...WIDE, port: await freePort(), exclusivePool });
  if (status !== 200) throw new Error(JSON.stringify(body));
}

export async function addMany(endpoints: number, exclusivePool: boolean): Promise<DensityReport> {
  const broker = await startBroker({ endpoints: [WIDE], config: { store: { storeType: 'MEMORY' } } });
  try {
    // Added first and not counted: a shared thread is no single endpoint's cost.
    await add(broker, exclusivePool);
    const before = await rss(broker);
    const startedAt = performance.now();
    let added = 0;
    const lane = async (): Promise<void> => {
      while (added < endpoints) {
        added++;
        await add(broker, exclusivePool);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
    const { body } = await broker.api('GET', '/api/endpoints/health?timeout=60s');
    const healthy = (body as { data: { healthy: boolean }[] }).data.filter((each) => each.healthy).length - 2;
    const mibEach = Number(((await rss(broker)) / MIB / endpoints - before / MIB / endpoints).toFixed(2));
    return { endpoints, exclusivePool, seconds, mibEach, healthy };
  } finally {
    await broker.stop();
  }
}
