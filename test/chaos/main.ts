/**
 * `npm run chaos -- [--quick] [--only NAME,…] [--minutes N]`: changes, crashes, floods and multiplies endpoints under load, and prints the
 * figures.
 */

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/kernel/errors.ts';
import { startBroker } from '../kit/broker.ts';
import { rebindWithClients } from './big-rebind.ts';
import { blast, comesAndGoes, flooded } from './blast.ts';
import { addMany } from './density.ts';
import { changeLimits } from './live-limit.ts';
import { rebindUnderLoad, WIDE } from './rebind.ts';
import { soak } from './soak/soak.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' }, minutes: { type: 'string', default: '' } },
});
const isQuick = values.quick;
const pick = <T>(full: T, quick: T): T => (isQuick ? quick : full);

/** A calm endpoint B beside an A with a limit of 100 connections per second. */
async function radius(): Promise<unknown> {
  const broker = await startBroker({
    endpoints: [WIDE, { ...WIDE, maxConnectionPerSecond: 100 }, { ...WIDE, maxConnectionPerSecond: 100, useWebsocket: true }],
  });
  try {
    const [calm, tcp, ws] = broker.ports as [number, number, number];
    const options = { broker, calm, perSecond: 1000, beforeMs: pick(3000, 1000) };
    return [
      await blast('A added, rebound and removed', options, comesAndGoes(pick(100, 10))),
      await blast('A flooded over TCP', options, flooded(tcp, 2, pick(10, 2))),
      await blast('A flooded over WebSocket', options, flooded(ws, 2, pick(10, 2))),
    ];
  } finally {
    await broker.stop();
  }
}

const SCENARIOS: Record<string, () => Promise<unknown>> = {
  rebind: () => rebindUnderLoad({ changes: pick(200, 15), connectionsPerSecond: pick(500, 100), messagesPerSecond: pick(20_000, 1000) }),
  'many-clients': () => rebindWithClients(pick(2000, 200), pick(1000, 200)),
  'live-limit': () => changeLimits(pick(10, 3), 4, pick(20, 5)),
  'blast-radius': radius,
  'density-own': () => addMany(pick(200, 10), true),
  'density-shared': () => addMany(pick(1000, 100), false),
  soak: () => soak(values.minutes === '' ? pick(20, 1) : Number(values.minutes)),
};

const print = (value: unknown): void =>
  void process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value, null, 2)}\n`);
const migrates = await readFile('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').catch(() => 'unknown');
print(`net.ipv4.tcp_migrate_req: ${migrates.trim()}`);
const chosen = values.only === '' ? Object.keys(SCENARIOS) : values.only.split(',');
let hasFailed = false;
for (const name of chosen) {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new Error(`${name}: one of ${Object.keys(SCENARIOS).join(', ')}`);
  print(`\n${name}`);
  try {
    print(await scenario());
  } catch (error) {
    hasFailed = true;
    print(messageOf(error));
  }
}
process.exit(hasFailed ? 1 : 0);
