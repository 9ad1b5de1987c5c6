/** Limits of an address need addresses that are not loopback: the script runs in a network of its own, where this user may make one. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { networkMaker, runInNetwork } from '../../kit/network.ts';

const TIMEOUT_MS = 90_000;
const way = networkMaker();
const WHAT = 'places and rate of an address: exact over threads, live, IPv6 by /64, loopback exempt, nobody else disturbed';

test(
  way === null ? `NOT TESTED, this user may not make a network (unshare -n, ip): ${WHAT}` : WHAT,
  async () => {
    if (way === null) return;
    const { code, output } = await runInNetwork(way, join(import.meta.dirname, 'per-address.ts'), TIMEOUT_MS);
    expect(code, output).toBe(0);
  },
  TIMEOUT_MS + 5000,
);
