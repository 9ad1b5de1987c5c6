/** The short form of `npm run chaos:cluster`: changes on one store while nodes, NATS and the database are killed, held up and cut off. */

import { expect, test } from 'vitest';
import { chaos } from './chaos.ts';
import type { StoreName } from './field.ts';

/** The choices are always the same; the moments are the machine's. `npm run chaos:cluster` takes others each time. */
const SEED = Number(process.env['CHAOS_SEED'] ?? 11);

/** One test. Each store has a file of its own, so that they run beside each other and beside other tests: they wait most of the time. */
export function testShortChaos(store: StoreName): void {
  test(`store ${store}: all nodes run what the store says, and every answer was true`, async () => {
    const report = await chaos(store, { changes: 10, harmSeconds: 8, seed: SEED });
    process.stdout.write(`${store}, CHAOS_SEED=${SEED}: ${JSON.stringify(report)}\n`);
    expect(report.answers.changed).toBeGreaterThanOrEqual(10);
    expect(Object.keys(report.harms).sort()).toEqual(report.kinds);
    expect(report.kinds).toHaveLength(store === 'LOCAL' ? 6 : 10);
  }, 120_000);
}
