/** Names and wills that clients bring in CONNECT count against the memory of the node: who finds none is refused with a reason, and all is given back, also when a thread dies. */

import { afterEach, describe, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';
import { crash, failing, workersOf } from '../faults/failing.ts';

const MIB = 1024 * 1024;
const QUOTA = 0x97;
const UNAVAILABLE = 3;
const WILL_BYTES = 65_000;
/** One endpoint may have three quarters of the budget. */
const FITTING = (64 * MIB * 0.75) / WILL_BYTES;
const open = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const held = useBroker(() =>
  failing({
    endpoints: [open, { ...open, useWebsocket: true }, { ...open, serverOptions: { workerGroupSize: 2 } }],
    config: { node: { memoryBudget: '64MB' } },
  }),
);
afterEach(async () => {
  destroyAll();
  await until('all is given back', async () => (await metric('memory_held_bytes')) < 2 * MIB, 15_000, 300);
}, 20_000);

async function metric(name: string): Promise<number> {
  const text = String((await held.broker.api('GET', '/public/metrics')).body);
  return Number(new RegExp(`^fluxmq_${name} ([\\d.]+)$`, 'm').exec(text)?.[1]);
}

async function refusals(port: number): Promise<number> {
  const text = String((await held.broker.api('GET', '/public/metrics')).body);
  return Number(
    new RegExp(`^fluxmq_endpoint_quota_refused_total\\{[^}]*port="${port}"[^}]*quota="memory"[^}]*\\} (\\d+)$`, 'm').exec(text)?.[1],
  );
}

const isBetween = (value: number, low: number, high: number): boolean => value >= low && value <= high;

/** Clients with wills of nearly 64 KiB until one is refused. @returns how many came in, and the code of the refusals */
async function fill(transport: TransportName, port: number, version: Version) {
  let count = 0;
  for (let batch = 0; batch < 60; batch++) {
    const codes = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = await RawClient.open(transport, port, version);
        const will = { topic: uid('w/'), payload: Buffer.alloc(WILL_BYTES) };
        return (await client.handshake({ clientId: uid('c'), will })).code;
      }),
    );
    count += codes.filter((code) => code === 0).length;
    const refused = codes.filter((code) => code !== 0);
    if (refused.length > 0) return { count, refused };
  }
  throw new Error('nobody was refused');
}

describe('wills of nearly 64 KiB', () => {
  test.each<[TransportName, number, Version, number]>([
    ['tcp', 0, 5, QUOTA],
    ['tcp', 0, 4, UNAVAILABLE],
    ['tcp', 0, 3, UNAVAILABLE],
    ['ws', 1, 5, QUOTA],
  ])('%s %i, MQTT %i: refused at the budget and counted; another endpoint has its own', async (transport, index, version, refusal) => {
    const port = held.broker.ports[index]!;
    const before = await refusals(port);
    const { count, refused } = await fill(transport, port, version);
    expect(new Set(refused)).toEqual(new Set([refusal]));
    // Packets under way count, too.
    expect(count).toBeGreaterThan(FITTING * 0.4);
    expect(count).toBeLessThan(FITTING * 1.15);
    expect(await refusals(port)).toBe(before + refused.length);
    // The sweeps count each will once, with the rest of its client: no more than was reserved.
    await until('the sweeps', async () => isBetween(await metric('memory_held_bytes'), count * WILL_BYTES, count * WILL_BYTES * 1.15));
    await (await connected('tcp', held.broker.ports[2]!, version)).ping();
  });

  test.each<[Version, number]>([
    [5, QUOTA],
    [4, UNAVAILABLE],
    [3, UNAVAILABLE],
  ])('that have not come whole fill the budget, too: MQTT %i gets the reason', async (version, refusal) => {
    const port = held.broker.ports[0]!;
    const begun: RawClient[] = [];
    const part = encode
      .connect(version, { clientId: 'c', will: { topic: 'w', payload: Buffer.alloc(WILL_BYTES) } })
      .subarray(0, WILL_BYTES / 13);
    const answers = () => begun.flatMap(({ inbox }) => inbox);
    const isRefusing = () => answers().length > 0;
    const bystander = await connected('tcp', held.broker.ports[2]!, version);
    for (let batch = 0; batch < 24 && !isRefusing(); batch++) {
      const more = await Promise.all(Array.from({ length: 50 }, () => RawClient.open('tcp', port, version)));
      for (const client of more) client.send(part);
      begun.push(...more);
      await bystander.ping();
    }
    await until('some are refused', isRefusing);
    for (const answer of answers()) expect(answer).toMatchObject({ type: 'connack', code: refusal });
  });

  test('of a thread that dies are given back', async () => {
    const { broker } = held;
    const port = broker.ports[2]!;
    const { count } = await fill('tcp', port, 5);
    for (const thread of await workersOf(broker, port)) {
      await crash(broker, thread, 'exit', async () => (await workersOf(broker, port)).length === 2);
    }
    await until('it is free', async () => (await metric('memory_held_bytes')) < 2 * MIB, 15_000, 300);
    const again = await fill('tcp', port, 5);
    expect(again.count).toBeGreaterThan(count * 0.5);
  }, 60_000);
});
