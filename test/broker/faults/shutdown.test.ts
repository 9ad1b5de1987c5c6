/** SIGTERM with thousands of clients connected: exit 0 within shutdownTimeout, sessions handed over and there after the next start (issue "Bad input and faults"). */

import { afterAll, expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { connected } from '../../kit/lanes.ts';
import { longer } from '../../kit/long.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { uid } from '../../kit/until.ts';
import { WIDE } from './failing.ts';

const CLIENTS = longer(1_000, 5_000);
/** Every fifth keeps its session. */
const PERSISTENT_EVERY = 5;
const SHUTDOWN_TIMEOUT_MS = 10_000;

afterAll(destroyAll);

test(`${CLIENTS} clients: all get a DISCONNECT, exit 0 in time; persistent sessions are resumed with what they had`, async () => {
  const endpoint = { ...WIDE, sessionPersistence: true, serverOptions: { workerGroupSize: 2, soBacklog: 4096 } };
  const broker = await startBroker({ endpoints: [endpoint, { ...endpoint, useWebsocket: true }] });
  const place = (n: number): ['tcp' | 'ws', number] => (n % 4 === 0 ? ['ws', broker.ports[1]!] : ['tcp', broker.ports[0]!]);
  const prefix = uid('st');
  const options = (n: number) => ({
    clientId: `${prefix}-${n}`,
    clean: false,
    keepAlive: 0,
    properties: { sessionExpiry: n % PERSISTENT_EVERY === 0 ? 3600 : 0 },
  });
  const clients: RawClient[] = [];
  for (let from = 0; from < CLIENTS; from += 100) {
    clients.push(...(await Promise.all(Array.from({ length: 100 }, (_, at) => connected(...place(from + at), 5, options(from + at))))));
  }
  const persistent = clients.flatMap((client, n) => (n % PERSISTENT_EVERY === 0 ? [{ client, n }] : []));
  await Promise.all(persistent.map(({ client, n }) => client.subscribe(`${prefix}/${n}`, 1)));
  const publisher = clients[1]!;
  for (const { n } of persistent) await publisher.publish(`${prefix}/${n}`, `for ${n}`, { qos: 1 });
  // Half of them have seen it and not acknowledged, half have done with it.
  const ids = new Map<number, number>();
  for (const { client, n } of persistent) {
    const message = await client.expect('publish');
    if (n % 2 === 0) ids.set(n, message.id);
    else await client.acknowledge(message);
  }
  await Promise.all(persistent.map(({ client }) => client.ping()));

  const begin = performance.now();
  expect(await broker.stop()).toBe(0);
  expect(performance.now() - begin, 'milliseconds from SIGTERM to the end').toBeLessThan(SHUTDOWN_TIMEOUT_MS);
  for (const client of clients) expect((await client.closed()).at(-1)).toMatchObject({ type: 'disconnect', code: 0x8b });

  const again = await startBroker({ dir: broker.dir });
  const late = await connected('tcp', again.ports[0]!, 5);
  const sample = persistent.filter((_, index) => index % 20 < 2);
  for (const { n } of sample) await late.publish(`${prefix}/${n}`, `later for ${n}`, { qos: 1 });
  for (const { n } of sample) {
    const [transport, index] = n % 8 === 0 ? (['ws', 1] as const) : (['tcp', 0] as const);
    const client = await RawClient.open(transport, again.ports[index]!, 5);
    expect(await client.handshake(options(n)), `session of ${n}`).toMatchObject({ sessionPresent: true, code: 0 });
    if (ids.has(n)) expect(await client.take()).toMatchObject({ dup: true, id: ids.get(n) });
    expect((await client.take()).payload.toString()).toBe(`later for ${n}`);
    await client.ping();
    expect(client.inbox).toEqual([]);
  }
  expect(await again.stop()).toBe(0);
  const log = await again.log();
  expect(log).not.toMatch(/could not be handled|is terminated|did not end/);
}, 60_000);
