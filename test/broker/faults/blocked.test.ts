/** A worker whose event loop stands still: told within seconds, replaced where that is safe, and of no concern to the clients of other workers. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Inbox, Ledger, Pump } from '../../kit/flow.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { uid, until } from '../../kit/until.ts';
import { failing, failpoints, WIDE, workersOf } from './failing.ts';

const held = useBroker(() => failing({ endpoints: [WIDE, WIDE, { ...WIDE, exclusivePool: false }, { ...WIDE, useWebsocket: true }] }));

interface Health {
  status: string;
  blockedWorkers: string[];
  workerRestarts: number;
}

const health = async () => ((await held.broker.api('GET', '/api/system/health')).body as { data: Health }).data;
const status = async (port: number) =>
  (
    (await held.broker.api('GET', `/api/endpoints/status?port=${port}`)).body as {
      data: { blockedWorkers: number; workers: number; restarts: number }[];
    }
  ).data[0]!;

async function block(port: number, ms: number): Promise<string> {
  const [thread] = await workersOf(held.broker, port);
  writeFileSync(join(failpoints, thread!), `block ${ms}`);
  return thread!;
}

/** Traffic on the first endpoint, which must not notice anything. */
async function bystanders(): Promise<{ check(): Promise<void> }> {
  const [port] = held.broker.ports;
  const topic = uid('calm/');
  const subscriber = await connected('tcp', port!, 5);
  await subscriber.subscribe(topic, 1);
  const ledger = new Ledger(1);
  new Inbox(ledger).attach(subscriber);
  const pump = new Pump(await connected('tcp', port!, 5), 'calm', topic, 1).startPaced(200);
  return {
    check: async () => {
      await pump.stop();
      await ledger.complete([pump]);
    },
  };
}

test('a thread that endpoints may share, for 12 s: told in status, health, log and metric; not replaced, and its clients are still there', async () => {
  const { broker } = held;
  const port = broker.ports[2]!;
  const calm = await bystanders();
  const client = await connected('tcp', port, 5);
  const thread = await block(port, 12_000);
  await until('health shows it', async () => (await health()).blockedWorkers.includes(thread), 11_000);
  expect(await status(port)).toMatchObject({ blockedWorkers: 1 });
  expect((await health()).status).toBe('degraded');
  expect(await broker.log()).toContain(`${thread} is blocked`);
  expect((await broker.api('GET', '/public/metrics')).body).toMatch(/fluxmq_worker_blocked_total 1/);
  await until('it runs again', async () => (await health()).blockedWorkers.length === 0, 15_000);
  await client.ping();
  expect(await status(port)).toMatchObject({ blockedWorkers: 0, restarts: 0, workers: 1 });
  await calm.check();
}, 60_000);

test.each([
  ['tcp', 1],
  ['ws', 3],
] as const)(
  '%s, for much longer: replaced, and new clients are served; the others notice nothing',
  async (transport, index) => {
    const { broker } = held;
    const port = broker.ports[index]!;
    const calm = await bystanders();
    const client = await connected(transport, port, 5);
    const thread = await block(port, 120_000);
    await until('it is replaced', async () => (await status(port)).restarts === 1 && (await status(port)).workers === 1, 25_000);
    await client.closed();
    await (await connected(transport, port, 5)).ping();
    const lines = (await broker.log()).split('\n').filter((line) => line.includes(`Endpoint ${port} lost its worker ${thread}`));
    expect(lines.join()).toContain('stood still');
    await calm.check();
  },
  60_000,
);
