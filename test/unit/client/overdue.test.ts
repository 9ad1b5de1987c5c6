/** Thousands of clients that are overdue at once are ended in slices: a client that sends something before its turn stays. */

import { afterEach, expect, test, vi } from 'vitest';
import { createAddressPlaces, createAddressTable } from '../../../src/metrics/address-table.ts';
import { createCounters } from '../../../src/metrics/counters.ts';
import { createSharedLimits } from '../../../src/metrics/shared-limits.ts';
import type { Client } from '../../../workers/endpoint/client/client.ts';
import { EndpointRuntime } from '../../../workers/endpoint/runtime/endpoint-runtime.ts';
import { settled, World } from './world.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Milliseconds that it takes to end one: two of them fill a slice. */
const END_MS = 6;

test('a client that sends something while others are ended, and one that is kept waiting, is not ended', async () => {
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const world = new World(1000);
  const runtime = new EndpointRuntime(world.context, world.endpoint.config, {
    limits: createSharedLimits(),
    addresses: createAddressTable(),
    places: createAddressPlaces(),
    counters: createCounters(),
  });
  const closed: number[] = [];
  const clients = Array.from({ length: 8 }, (_, i) => ({
    state: 'online',
    lastSeen: 0,
    identity: { keepAlive: 1 },
    heldBytes: 0,
    // The server does not read it.
    isKeptWaiting: i === 6,
    isDripping: () => false,
    close() {
      this.state = 'closed';
      closed.push(i);
      now += END_MS;
    },
  }));
  for (const client of clients) runtime.clients.add(client as unknown as Client);
  runtime.sweep(100);
  expect(closed).toEqual([0, 1]);
  clients[3]!.lastSeen = 100;
  clients[5]!.lastSeen = 100;
  for (let i = 0; i < 3; i++) await settled();
  expect(closed).toEqual([0, 1, 2, 4, 7]);
});
