/** The short form of `npm run chaos:cluster`, on each store: changes while nodes, NATS and the database are killed, held up and cut off. */

import { expect, test } from 'vitest';
import { chaos } from './chaos.ts';
import { STORES } from './field.ts';

const SEED = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));

test.each(STORES)(
  'store %s: all nodes run what the store says, and every answer was true',
  async (store) => {
    const report = await chaos(store, { changes: 40, secondsMax: 10, seed: SEED });
    process.stdout.write(`${store}, CHAOS_SEED=${SEED}: ${JSON.stringify(report)}\n`);
    expect(report.answers.changed).toBeGreaterThan(2);
    expect(Object.keys(report.harms).length).toBeGreaterThan(2);
  },
  120_000,
);
