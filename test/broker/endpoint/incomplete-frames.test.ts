/** uWebSockets.js keeps a WebSocket message until it is whole: what it keeps counts, and is bounded, like an incomplete packet. */

import { afterEach, expect, test } from 'vitest';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { openWebSocket } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const MIB = 1024 * 1024;
const FRAME_BYTES = 4 * MIB;
const QUOTA = 0x97;
const open = { enableAuth: false, useWebsocket: true, maxConnectionPerSecond: 100_000, websocketTransport: 'uws' };
const held = useBroker(() => ({ endpoints: [open], config: { node: { memoryBudget: '64MB' } } }));
afterEach(destroyAll);

/** The built-in transport, which serves where this is false, passes on what comes: `connect-budget` and `budgets` test that. */
const isThere = lookForTransports().uws === true;

/** The header of a binary frame, and a part of its content: the rest never comes. */
function partOfFrame(bytes: number): Buffer {
  const header = Buffer.alloc(14);
  header[0] = 0x82;
  header[1] = 0xff;
  header.writeUInt32BE(FRAME_BYTES, 6);
  return Buffer.concat([header, Buffer.alloc(bytes)]);
}

async function heldBytes(): Promise<number> {
  const text = String((await held.broker.api('GET', '/public/metrics')).body);
  return Number(/^fluxmq_memory_held_bytes ([\d.]+)$/m.exec(text)?.[1]);
}

test('before CONNECT, the frame may be as large as a CONNECT', async () => {
  if (!isThere) return;
  const [port] = held.broker.ports as [number];
  const [small, large] = [await openWebSocket(port), await openWebSocket(port)];
  const closed = new Promise<string>((resolve) => large.socket.resume().once('close', () => resolve('closed')));
  small.socket.write(partOfFrame(400 * 1024));
  large.socket.write(partOfFrame(700 * 1024));
  expect(await closed).toBe('closed');
  expect(small.socket.destroyed).toBe(false);
});

test('frames that are not whole fill the budget: a client that continues is disconnected with the reason, and all is given back', async () => {
  if (!isThere) return;
  const [port] = held.broker.ports as [number];
  const bystander = await connected('ws', port, 5);
  const clients = await Promise.all(
    Array.from({ length: 24 }, async () => {
      const transport = await openWebSocket(port);
      const client = RawClient.over(transport, 5);
      await client.handshake({ clientId: uid('c') });
      return { client, transport };
    }),
  );
  for (const { transport } of clients) transport.socket.write(partOfFrame(3 * MIB));
  await until('the budget counts them', async () => (await heldBytes()) > 24 * MIB, 15_000);
  await until('some are disconnected', () => clients.some(({ transport }) => transport.socket.destroyed), 15_000);
  const codes = clients.flatMap(({ client }) => client.inbox.map((packet) => (packet as { code?: number }).code));
  expect(codes).toContain(QUOTA);
  expect(clients.some(({ transport }) => !transport.socket.destroyed)).toBe(true);
  await bystander.ping();
  for (const { client } of clients) client.destroy();
  await until('all is given back', async () => (await heldBytes()) < 2 * MIB, 15_000);
});

test('large messages and pings that complete count for nothing', async () => {
  if (!isThere) return;
  const [port] = held.broker.ports as [number];
  const transport = await openWebSocket(port);
  const client = RawClient.over(transport, 5);
  await client.handshake({ clientId: uid('c') });
  for (let n = 0; n < 20; n++) {
    await client.publish(uid('t/'), Buffer.alloc(2 * MIB), { qos: 1 });
    for (let ping = 0; ping < 50; ping++) transport.writeFrame('ping', Buffer.alloc(100));
  }
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(await heldBytes()).toBeLessThan(MIB);
  await client.ping();
});
