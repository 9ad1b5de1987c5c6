/** Thousands of clients lose their network at once: each one's will comes once, the others are served all the time, and nothing is left behind. */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';
import { WIDE } from './places.ts';

const CLIENTS = 2_000;
const AT_ONCE = 200;
/** Longest wait of a client that stays (ms). */
const WORST_MS = 1_000;

const held = useBroker(() => ({ endpoints: [{ ...WIDE, serverOptions: { workerGroupSize: 1 } }] }));

/** Clients that the broker counts. */
async function counted(): Promise<number> {
  const { body } = await held.broker.api('GET', '/public/metrics');
  return Number(/^fluxmq_endpoint_connections_current\{[^}]*\} (\d+)$/m.exec(String(body))?.[1]);
}

for (const how of ['end', 'reset'] as const) {
  test(`${CLIENTS} connections ${how} at once`, async () => {
    const port = held.broker.ports[0]!;
    const prefix = uid('w');
    const witness = await connected('tcp', port, 5);
    await witness.subscribe(`${prefix}/#`, 1);
    const wills = new Map<string, number>();
    let slowest = 0;
    witness.tap = (packet) => {
      if (packet.type !== 'publish') return;
      if (packet.topic === `${prefix}/live`) slowest = Math.max(slowest, performance.now() - Number(packet.payload));
      else wills.set(packet.topic, (wills.get(packet.topic) ?? 0) + 1);
    };
    const clients: RawClient[] = [];
    while (clients.length < CLIENTS) {
      const some = Array.from({ length: AT_ONCE }, (_, i) =>
        connected('tcp', port, 5, { will: { topic: `${prefix}/${clients.length + i}`, payload: 'gone', qos: 0 } }),
      );
      clients.push(...(await Promise.all(some)));
    }
    const publisher = await connected('tcp', port, 5);
    for (const { transport } of clients) {
      if (how === 'end') transport.socket.destroy();
      else transport.socket.resetAndDestroy();
    }
    await until(
      'every will',
      () => {
        publisher.send(encode.publish(5, `${prefix}/live`, String(performance.now())));
        return wills.size === CLIENTS;
      },
      20_000,
      5,
    );
    expect([...wills.values()].every((times) => times === 1)).toBe(true);
    expect(slowest).toBeLessThan(WORST_MS);
    await until('the count of clients', async () => (await counted()) === 2, 10_000);
    witness.destroy();
    publisher.destroy();
    await until('the count of clients', async () => (await counted()) === 0, 10_000);
  });
}
