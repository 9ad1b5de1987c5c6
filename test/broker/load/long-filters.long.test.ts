/** Very long topic filters: they count for each thread that keeps them, and their session moves without holding anybody up. */

import { expect, test } from 'vitest';
import { connected, useBroker } from '../../kit/lanes.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const LENGTH = 60_000;
const FILTERS = 250;
/** Threads that keep a filter: four of the endpoints, a spare one and the session worker. */
const THREADS = 6;
const BUDGET_MB = 64;
const base = { enableAuth: false, maxConnectionPerSecond: 10_000 };
const held = useBroker(() => ({
  endpoints: [{ ...base, serverOptions: { workerGroupSize: 2 } }, base, { ...base, sessionPersistence: true }],
  config: { node: { memoryBudget: `${BUDGET_MB}MB` } },
}));

test.each([0, 2])(
  'endpoint %i: what is too much is refused, others are let in while the session moves, and every filter works afterwards',
  async (index) => {
    const port = held.broker.ports[index]!;
    const options = { clientId: uid('long'), clean: false, properties: { sessionExpiry: 600 } };
    const client = await connected('tcp', port, 5, options);
    const filters = Array.from({ length: FILTERS }, (_, n) => `${index}/${n}/`.padEnd(LENGTH, 'x'));
    const granted: string[] = [];
    for (const filter of filters) {
      const [code] = (await client.subscribeRaw([{ filter, qos: 1 }])).codes;
      if (code === 1) granted.push(filter);
      else expect(code).toBe(0x97);
    }
    expect(granted.length).toBeGreaterThan(30);
    expect(granted.length * LENGTH * THREADS).toBeLessThan(BUDGET_MB * 1024 * 1024);
    const refused: number[] = [];
    let isOver = false;
    const others = (async () => {
      while (!isOver) {
        const other = await connected('tcp', held.broker.ports[1]!, 5).catch(() => null);
        if (other === null) refused.push(performance.now());
        else await other.disconnect();
        await sleep(20);
      }
    })();
    await client.cut();
    await sleep(1000);
    // Its own endpoint may have been over its share when it last looked.
    const back = await until('the client is back', () => connected('tcp', port, 5, options));
    expect(back.connack!.sessionPresent).toBe(true);
    isOver = true;
    await others;
    expect(refused).toEqual([]);
    const seen = new Set<string>();
    back.autoAcknowledge(({ topic }) => void seen.add(topic));
    const publisher = await connected('tcp', held.broker.ports[1]!, 5);
    for (const topic of [granted[0]!, granted.at(-1)!]) await publisher.publish(topic, 'x', { qos: 1 });
    await until('a message for the first and the last filter', () => seen.size === 2);
    await publisher.disconnect();
    await back.disconnect(0, { sessionExpiry: 0 });
  },
);
