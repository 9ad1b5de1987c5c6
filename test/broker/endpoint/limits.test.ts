/** The limits of an endpoint, exact over its workers, and the answer to a client that meets one. */

import { describe, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const open = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const held = useBroker(() => ({
  endpoints: [
    { ...open, maxConnectionSize: 5, serverOptions: { workerGroupSize: 3 }, namespace: 'a' },
    { ...open, maxConnectionSize: 5, useWebsocket: true, namespace: 'b' },
    { ...open, maxConnectionPerSecond: 20, serverOptions: { workerGroupSize: 3 }, namespace: 'c' },
    { ...open, maxSessionSize: 3, serverOptions: { workerGroupSize: 3 }, namespace: 'd' },
    { ...open, maxSendWindowSize: 4, maxReceiveWindowSize: 7, namespace: 'e' },
    { ...open, maxConnectionPerSecond: 20, useWebsocket: true, serverOptions: { workerGroupSize: 3 }, namespace: 'f' },
  ],
}));

/** Connects and returns the code, or -1 when the connection ended without a CONNACK. */
async function attempt(
  transport: 'tcp' | 'ws',
  port: number,
  version: Version,
  clientId = uid('c'),
  sessionExpiry = 0,
): Promise<{ code: number; client: RawClient | null }> {
  try {
    const client = await RawClient.open(transport, port, version);
    const { code } = await client.handshake({ clientId, clean: version < 5 ? sessionExpiry === 0 : false, properties: { sessionExpiry } });
    return { code, client };
  } catch {
    return { code: -1, client: null };
  }
}

describe('maxConnectionSize', () => {
  test.each([
    ['tcp', 0],
    ['ws', 1],
  ] as const)('%s: one more is refused with 0x97, or 3, and a place that is left is free again', async (transport, index) => {
    const port = held.broker.ports[index]!;
    for (const version of [5, 4] as Version[]) {
      const clients = [];
      for (let n = 0; n < 5; n++) clients.push(await connected(transport, port, version));
      const refused = await attempt(transport, port, version);
      expect(refused.code).toBe(version === 5 ? 0x97 : 3);
      await refused.client!.closed();
      for (const client of clients) await client.ping();
      await clients[0]!.disconnect();
      await until('a place is free', async () => {
        const next = await attempt(transport, port, version);
        if (next.code === 0) clients.push(next.client!);
        return next.code === 0;
      });
      for (const client of clients.slice(1)) await client.disconnect();
      await until('all are gone', async () => {
        const { body } = await held.broker.api('GET', `/api/endpoints/status?port=${port}`);
        return JSON.stringify(body).includes('"connections":0');
      });
    }
  });

  test('a takeover needs no place of its own in the end', async () => {
    const port = held.broker.ports[0]!;
    const clientId = uid('c');
    const clients = [await connected('tcp', port, 5, { clientId })];
    for (let n = 0; n < 3; n++) clients.push(await connected('tcp', port, 5));
    for (let n = 0; n < 5; n++) {
      // The place of the older connection is free when its socket is closed, a moment after its DISCONNECT.
      const again = await until('a place for the takeover', async () => {
        const next = await attempt('tcp', port, 5, clientId);
        return next.code === 0 ? next.client : null;
      });
      await clients[0]!.refused(0x8e);
      clients[0] = again;
    }
    for (const client of clients) await client.disconnect();
  });
});

test.each([
  ['tcp', 2],
  ['ws', 5],
] as const)(
  'maxConnectionPerSecond, %s: a burst of one second’s worth, the next is refused with 0x9F, or 3, until time has passed',
  async (transport, index) => {
    const port = held.broker.ports[index]!;
    await sleep(1100);
    const start = performance.now();
    // All at once: one after the other might be slower than the limit on a busy machine.
    const codes = (await Promise.all(Array.from({ length: 100 }, () => attempt(transport, port, 5)))).map(({ code }) => code);
    const lasted = performance.now() - start;
    const accepted = codes.filter((code) => code === 0).length;
    expect(accepted).toBeGreaterThanOrEqual(20);
    expect(accepted).toBeLessThanOrEqual(21 + Math.ceil((lasted / 1000) * 20));
    expect(codes.filter((code) => code !== 0).every((code) => code === 0x9f || code === -1)).toBe(true);
    expect(codes).toContain(0x9f);
    await sleep(300);
    expect((await attempt(transport, port, 4)).code).toBe(0);
    const old = (await Promise.all(Array.from({ length: 100 }, () => attempt(transport, port, 4)))).map(({ code }) => code);
    expect(old.filter((code) => code !== 0).every((code) => code === 3 || code === -1)).toBe(true);
    expect(old).toContain(3);
  },
);

test('maxSessionSize: one persistent session more is refused, one without expiry is not, and an ended one makes room', async () => {
  const port = held.broker.ports[3]!;
  const ids = [uid('c'), uid('c'), uid('c')];
  const clients = [];
  for (const id of ids) clients.push(await connected('tcp', port, 5, { clientId: id, clean: false, properties: { sessionExpiry: 60 } }));
  await clients[0]!.disconnect();
  const refused = await attempt('tcp', port, 5, uid('c'), 60);
  expect(refused.code).toBe(0x97);
  expect((await attempt('tcp', port, 4, uid('c'), 60)).code).toBe(3);
  expect((await attempt('tcp', port, 5, uid('c'), 0)).code).toBe(0);
  // A session that is there already is not one more.
  const back = await connected('tcp', port, 5, { clientId: ids[0]!, clean: false, properties: { sessionExpiry: 60 } });
  expect(back.connack!.sessionPresent).toBe(true);
  await back.disconnect(0, { sessionExpiry: 0 });
  await until('room for another', async () => (await attempt('tcp', port, 5, uid('c'), 60)).code === 0);
});

test('maxSendWindowSize and maxReceiveWindowSize', async () => {
  const port = held.broker.ports[4]!;
  const topic = uid('win/');
  const to = await connected('tcp', port, 5);
  expect(to.connack!.properties.receiveMaximum).toBe(7);
  await to.subscribe(topic, 1);
  const from = await connected('tcp', port, 4);
  for (let n = 0; n < 8; n++) await from.publish(topic, `${n}`, { qos: 1 });
  expect(await to.publishes(4)).toHaveLength(4);
  await to.silence();
});

test('refusals are logged once a second at most, over all workers; the metric counts every one', async () => {
  const { broker } = held;
  const port = broker.ports[0]!;
  const lines = async () => (await broker.log()).split('\n').filter((line) => line.includes(`Endpoint ${port}: Connection limit reached`));
  const counted = async () => {
    const { body } = await broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`);
    return Number(/connection_errors_total\{[^}]*"connection_limit"[^}]*\} (\d+)/.exec(String(body))![1]);
  };
  const clients = [];
  for (let n = 0; n < 5; n++) clients.push(await connected('tcp', port, 5));
  const [before, toldBefore, startedAt] = [await counted(), (await lines()).length, performance.now()];
  let refused = 0;
  while (performance.now() - startedAt < 2500) {
    expect((await attempt('tcp', port, 5)).code).toBe(0x97);
    refused++;
  }
  expect((await counted()) - before).toBe(refused);
  await until('it is logged', async () => (await lines()).length > toldBefore, 5000);
  expect((await lines()).length - toldBefore).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - startedAt) / 1000));
  for (const client of clients) await client.disconnect();
  expect(await broker.log()).toContain(': Session limit reached');
}, 30_000);

test('a limit that was met is counted', async () => {
  const { body } = await held.broker.api('GET', '/public/metrics');
  for (const code of ['connection_limit', 'connection_rate', 'session_limit']) {
    const lines = String(body)
      .split('\n')
      .filter((line) => line.startsWith('fluxmq_endpoint_connection_errors_total') && line.includes(`"${code}"`));
    expect(
      lines.some((line) => Number(line.split(' ').at(-1)) > 0),
      code,
    ).toBe(true);
  }
});
