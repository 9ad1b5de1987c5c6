/** Run by per-address.test.ts in a network of its own: what one address may have of an endpoint, and that others have theirs. */

import assert from 'node:assert/strict';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { Version } from '../../kit/encode.ts';
import { ADDRESSES } from '../../kit/network.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { crash, failing, workersOf } from '../faults/failing.ts';

const OPEN = { host: '::', enableAuth: false, maxConnectionPerSecond: 100_000 };
const QUOTA = 0x97;
const RATE = 0x9f;

/** Connects from the address, which is this machine's too: the kernel then calls from the same one. -1: closed without CONNACK. */
async function attempt(port: number, address: string, version: Version = 5, transport: TransportName = 'tcp') {
  try {
    const client = await RawClient.open(transport, port, version, address);
    const { code } = await client.handshake({ clientId: uid('c') });
    return { code, client };
  } catch {
    return { code: -1, client: null };
  }
}

async function enter(port: number, address: string, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let n = 0; n < count; n++) {
    const { code, client } = await attempt(port, address);
    assert.equal(code, 0, `${address}, connection ${n + 1}`);
    clients.push(client!);
  }
  return clients;
}

async function metric(broker: Broker, port: number, code: string): Promise<number> {
  const { body } = await broker.api('GET', `/api/endpoints/metrics?format=prometheus&port=${port}`);
  return Number(new RegExp(`connection_errors_total\\{[^}]*error_code="${code}"[^}]*\\} (\\d+)`).exec(String(body))?.[1]);
}

async function change(broker: Broker, port: number, keys: Record<string, unknown>): Promise<void> {
  const { status } = await broker.api('POST', '/api/endpoints/update', { port, ...keys });
  assert.equal(status, 200);
}

async function places(broker: Broker, port: number): Promise<void> {
  const { first, second } = ADDRESSES;
  const clients = await enter(port, first, 10);
  const refused = await attempt(port, first);
  assert.equal(refused.code, QUOTA);
  await refused.client!.closed();
  assert.equal((await attempt(port, first, 4)).code, 3);
  assert.equal(await metric(broker, port, 'address_limit'), 2);
  const others = [...(await enter(port, second, 10)), ...(await enter(port, '127.0.0.1', 15))];
  await until('the log line', async () => (await broker.log()).includes(`Endpoint ${port}: Connection per address limit reached`));
  assert.match(await broker.log(), /"maxConnectionPerAddress":10/);
  await clients[0]!.disconnect();
  await until('the place is free', async () => (await attempt(port, first)).code === 0);

  await change(broker, port, { maxConnectionPerAddress: 12 });
  await enter(port, first, 2);
  await change(broker, port, { maxConnectionPerAddress: 1 });
  for (const client of [...clients.slice(1), ...others]) await client.ping();
  assert.equal((await attempt(port, second)).code, QUOTA);
  await change(broker, port, { maxConnectionPerAddress: null });
}

async function networks(port: number): Promise<void> {
  await enter(port, ADDRESSES.six[0], 5);
  await enter(port, ADDRESSES.six[1], 5);
  for (const address of ADDRESSES.six) assert.equal((await attempt(port, address)).code, QUOTA);
  await enter(port, ADDRESSES.otherSix, 10);
}

async function rate(broker: Broker, port: number, transport: TransportName): Promise<void> {
  const codes = await Promise.all(Array.from({ length: 20 }, async () => (await attempt(port, ADDRESSES.first, 5, transport)).code));
  const count = (code: number) => codes.filter((each) => each === code).length;
  assert.equal(count(0) + count(RATE), 20);
  assert.ok(count(0) >= 5 && count(0) <= 10, `${count(0)} came in`);
  assert.equal(await metric(broker, port, 'address_rate'), count(RATE));
  assert.equal((await attempt(port, ADDRESSES.second, 5, transport)).code, 0);
  await sleep(1100);
  assert.equal((await attempt(port, ADDRESSES.first, 5, transport)).code, 0);
}

/** Those who are refused do not take what is everybody's: the endpoint's own rate is left to others. */
async function fairness(broker: Broker, port: number): Promise<void> {
  await Promise.all(Array.from({ length: 200 }, () => attempt(port, ADDRESSES.first)));
  assert.equal((await attempt(port, ADDRESSES.second)).code, 0);
  assert.equal(await metric(broker, port, 'connection_rate'), 0);
}

/** The places of the clients of a thread that dies are free again, no more and no less. */
async function death(broker: Broker, port: number): Promise<void> {
  const clients = await enter(port, ADDRESSES.first, 10);
  assert.equal((await attempt(port, ADDRESSES.first)).code, QUOTA);
  const [thread] = await workersOf(broker, port);
  await crash(broker, thread!, 'exit', async () => (await workersOf(broker, port)).length === 3);
  const lost = () => clients.filter(({ isClosed }) => isClosed).length;
  let before = -1;
  await until('its clients see it', async () => {
    const isSettled = lost() === before && lost() > 0;
    before = lost();
    await sleep(300);
    return isSettled;
  });
  await enter(port, ADDRESSES.first, lost());
  assert.equal((await attempt(port, ADDRESSES.first)).code, QUOTA);
}

const broker = await startBroker(
  failing({
    endpoints: [
      { ...OPEN, maxConnectionSize: 100, serverOptions: { workerGroupSize: 3 } },
      { ...OPEN, maxConnectionSize: 100, serverOptions: { workerGroupSize: 2 } },
      { ...OPEN, maxConnectionPerAddressPerSecond: 5, serverOptions: { workerGroupSize: 2 } },
      { ...OPEN, maxConnectionPerAddressPerSecond: 5, useWebsocket: true },
      { ...OPEN, maxConnectionPerSecond: 100 },
      { ...OPEN, maxConnectionSize: 100, serverOptions: { workerGroupSize: 3 } },
    ],
  }),
);
try {
  const [placed, six, fast, web, fair, dying] = broker.ports as [number, number, number, number, number, number];
  await places(broker, placed);
  await networks(six);
  await rate(broker, fast, 'tcp');
  await rate(broker, web, 'ws');
  await fairness(broker, fair);
  await death(broker, dying);
} finally {
  destroyAll();
  await broker.stop();
}
