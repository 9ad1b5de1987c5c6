/** A node dies: what the others wait for, and what they do for it. Three real nodes. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { hostOf, untilLinked } from './messages-kit.ts';

/** NATS is believed about absent nodes when its servers have been the same for so long. */
const SETTLED_MS = 5_000;
let cluster: TestCluster;
let port: number;

beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3 });
  port = await freePort();
  const endpoint = { id: 'm', port, enableAuth: false, sessionPersistence: true };
  expect(await change(cluster.nodes[0]!, 'add', endpoint)).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
  await sleep(SETTLED_MS);
}, 90_000);
afterAll(async () => {
  await cluster?.stop();
}, 60_000);

test('after kill -9 of a node the others wait less than two seconds for it', async () => {
  const publisher = await RawClient.open('tcp', port, 5, hostOf(1));
  await publisher.handshake({});
  await cluster.nodes[2]!.kill('SIGKILL');
  const began = performance.now();
  const timeOf = async (done: Promise<unknown>) => {
    await done;
    return performance.now() - began;
  };
  const client = await RawClient.open('tcp', port, 5, hostOf(0));
  const times = await Promise.all([
    timeOf(client.handshake({ clientId: 'next' })),
    timeOf(publisher.publish('kept', 'x', { qos: 1, retain: true })),
  ]);
  for (const time of times) expect(time).toBeLessThan(2_000);
  expect(await cluster.nodes[0]!.log()).toContain('its process has ended');
  for (const each of [client, publisher]) each.destroy();
}, 30_000);
