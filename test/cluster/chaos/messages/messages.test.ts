/** The short form of `npm run chaos:cluster -- --messages`: the promises of docs/cluster.md while nodes, threads and NATS servers die and freeze. */

import { expect, test } from 'vitest';
import { messagesChaos } from './run.ts';

/** The choices are always the same; the moments are the machine's. `npm run chaos:cluster` takes others each time. */
const SEED = Number(process.env['CHAOS_SEED'] ?? 5);
const SECONDS = 10;
/** Few messages: the suite has little CPU time. */
const PER_SECOND = 8;
const HARMS = [
  'NATS server frozen',
  'NATS server killed',
  'node cut off from NATS',
  'node frozen',
  'node killed',
  'relay killed',
  'session worker killed',
];

test('acknowledged is delivered, QoS 2 once, in order; sessions, retained messages and wills are right', async () => {
  const report = await messagesChaos({ seconds: SECONDS, seed: SEED, only: HARMS, perSecond: PER_SECOND });
  process.stdout.write(`CHAOS_SEED=${SEED}: ${JSON.stringify(report)}\n`);
  expect(Object.keys(report.harms).sort()).toEqual(HARMS);
  expect(report.acknowledged).toBeGreaterThan(500);
}, 180_000);
