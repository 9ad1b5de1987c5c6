/** Places by address: exact, bounded, given back, and never in the way of another address. */

import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { connectionsPerAddress, defaultEndpoint, ratePerAddress } from '../../../src/endpoint/defaults.ts';
import { addressKey } from '../../../src/kernel/address.ts';
import { AddressTable, createAddressPlaces, createAddressTable, NO_SLOT } from '../../../src/metrics/address-table.ts';

const FAST = { connections: 3, perSecond: 1_000_000 };
const NOW = 10_000_000n;
const open = () => new AddressTable(createAddressTable(), createAddressPlaces());

test.each(['10.0.0.1', '2001:db8::1', 'fd00:9::1', 'ffff:ffff:ffff:ffff::1'])(
  '%s gets as many places as it may have, and each that it gives back',
  (address) => {
    const table = open();
    const key = addressKey(address)!;
    const slots = [1, 2, 3].map((n) => table.take(key, FAST, NOW + BigInt(n)));
    expect(slots.every((slot) => typeof slot === 'number' && slot >= 0)).toBe(true);
    expect(table.take(key, FAST, NOW)).toBe('address_limit');
    expect(table.countOf(key)).toBe(3);
    expect(table.take(8n, FAST, NOW)).toBeTypeOf('number');
    table.release(slots[0] as number);
    expect(table.take(key, FAST, NOW)).toBeTypeOf('number');
  },
);

test('a lowered limit counts for the next one, a raised one at once', () => {
  const table = open();
  for (let n = 0; n < 3; n++) table.take(7n, FAST, NOW);
  expect(table.take(7n, { ...FAST, connections: 1 }, NOW)).toBe('address_limit');
  expect(table.countOf(7n)).toBe(3);
  expect(table.take(7n, { ...FAST, connections: 4 }, NOW)).toBeTypeOf('number');
});

test('a second of the rate may come at once, and no more; who is refused holds no place', () => {
  const table = open();
  const slow = { connections: 100, perSecond: 5 };
  for (let n = 0; n < 5; n++) expect(table.take(7n, slow, NOW)).toBeTypeOf('number');
  expect(table.take(7n, slow, NOW)).toBe('address_rate');
  expect(table.countOf(7n)).toBe(5);
  expect(table.take(7n, slow, NOW + 200_000n)).toBeTypeOf('number');
  expect(table.take(7n, slow, NOW + 200_000n)).toBe('address_rate');
});

test('a slot is another address’s only when nobody holds it and its rate is forgotten', () => {
  const table = open();
  // Far more addresses than slots: those that came and went a while ago make room.
  for (let n = 1n; n < 200_000n; n++) table.release(table.take(n, { ...FAST, perSecond: 1 }, NOW + n * 1000n) as number);
  expect(table.take(1n << 40n, FAST, NOW + 10_000_000_000n)).toBeGreaterThanOrEqual(0);
});

test('with a full table an address is not followed, and nobody is refused for it', () => {
  const table = open();
  let untracked = 0;
  for (let n = 1n; n < 100_000n; n++) if (table.take(n, FAST, NOW) === NO_SLOT) untracked++;
  expect(untracked).toBeGreaterThan(30_000);
  for (let n = 1n; n < 100_000n; n += 997n) expect(table.take(n, FAST, NOW)).toBeTypeOf('number');
});

test('what a dead worker held is given back, and nothing else', () => {
  const [memory, dead] = [createAddressTable(), createAddressPlaces()];
  const [one, other] = [new AddressTable(memory, dead), new AddressTable(memory, createAddressPlaces())];
  one.take(7n, FAST, NOW);
  one.take(7n, FAST, NOW);
  other.take(7n, FAST, NOW);
  one.take(9n, FAST, NOW);
  new AddressTable(memory, null).releaseAll(dead);
  expect(other.countOf(7n)).toBe(1);
  expect(other.countOf(9n)).toBe(0);
});

/** Threads that take and give back places of the same few addresses; each says how many more than allowed it saw. */
const THREAD = `
const { workerData, parentPort } = require('node:worker_threads');
(async () => {
  const { AddressTable } = await import(workerData.url);
  const table = new AddressTable(workerData.memory, workerData.places);
  let over = 0, taken = 0;
  for (let round = 0; round < 3000; round++) {
    const key = BigInt(1 + round % 50);
    const slot = table.take(key, { connections: 2, perSecond: 1000000 }, process.hrtime.bigint() / 1000n);
    if (typeof slot !== 'number') continue;
    taken++;
    const inside = new Int32Array(workerData.inside);
    if (Atomics.add(inside, Number(key), 1) >= 2) over++;
    Atomics.sub(inside, Number(key), 1);
    table.release(slot);
  }
  parentPort.postMessage({ over, taken });
})();
`;

test('it is exact over threads', async () => {
  const [memory, inside] = [createAddressTable(), new SharedArrayBuffer(400)];
  const url = new URL('../../../src/metrics/address-table.ts', import.meta.url).href;
  const said = await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise<{ over: number; taken: number }>((resolve, reject) => {
          const workerData = { url, memory, inside, places: createAddressPlaces() };
          new Worker(THREAD, { eval: true, workerData, execArgv: ['--experimental-strip-types', '--no-warnings'] })
            .once('message', resolve)
            .once('error', reject);
        }),
    ),
  );
  expect(said.map(({ over }) => over)).toEqual([0, 0, 0]);
  expect(Math.min(...said.map(({ taken }) => taken))).toBeGreaterThan(0);
  const table = new AddressTable(memory, null);
  for (let key = 1n; key <= 50n; key++) expect(table.countOf(key)).toBe(0);
}, 30_000);

test('without its keys an endpoint gives an address a tenth, and ten at least', () => {
  const endpoint = defaultEndpoint(1883);
  expect([connectionsPerAddress(endpoint), ratePerAddress(endpoint)]).toEqual([100, 10]);
  const small = { ...endpoint, maxConnectionSize: 20, maxConnectionPerSecond: 5 };
  expect([connectionsPerAddress(small), ratePerAddress(small)]).toEqual([10, 10]);
  const told = { ...endpoint, maxConnectionPerAddress: 1, maxConnectionPerAddressPerSecond: 2 };
  expect([connectionsPerAddress(told), ratePerAddress(told)]).toEqual([1, 2]);
});
