/**
 * `npm run bench:config -- [--store LOCAL|POSTGRESQL|MYSQL|all]`: times a start with 1,000 endpoints, a change from POST to answer, and a
 * page of a long history.
 */

import { connect } from 'node:net';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { STORES, type StoreName, withStore } from '../../test/admin/crash/kill-repeatedly.ts';
import { type Broker, startBroker } from '../../test/kit/broker.ts';
import { freePort } from '../../test/kit/free-port.ts';
import { measureHistory } from './history.ts';

const ENDPOINTS = 1000;
const ENABLED = 10;
const STARTS = 5;
const WRITERS = 8;
const CHANGES = 800;

const say = (line: string) => process.stdout.write(`${line}\n`);
const base = (port: number) => ({ host: '127.0.0.1', port, enableAuth: false });

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Milliseconds from the start of the process until every enabled endpoint accepts. */
async function timeStart(dir: string, ports: number[]): Promise<{ broker: Broker; listening: number }> {
  const startedAt = performance.now();
  let listening = 0;
  const starting = startBroker({ dir });
  const watching = (async () => {
    for (const port of ports) while (!(await accepts(port))) await new Promise((resolve) => setTimeout(resolve, 5));
    listening = performance.now() - startedAt;
  })();
  const [broker] = await Promise.all([starting, watching]);
  return { broker, listening };
}

async function measureStart(section: Record<string, unknown> | null): Promise<void> {
  const ports = [];
  while (ports.length < ENABLED) ports.push(await freePort());
  const disabled = Array.from({ length: ENDPOINTS - ENABLED }, (_, n) => ({ ...base(33_000 + n), enabled: false }));
  const config = section === null ? {} : { store: section };
  let broker = await startBroker({ config, endpoints: [...ports.map(base), ...disabled] });
  const { dir } = broker;
  const times = [];
  for (let n = 0; n < STARTS; n++) {
    await broker.stop();
    const timed = await timeStart(dir, ports);
    broker = timed.broker;
    const { body } = await broker.api('GET', '/api/system/health');
    times.push(Math.round(timed.listening));
    say(
      `  start ${n + 1}: all ${ENABLED} listen after ${times[n]} ms; inside: ${JSON.stringify((body as { data: { startup: unknown } }).data.startup)}`,
    );
  }
  await broker.stop();
}

async function measureChanges(section: Record<string, unknown> | null): Promise<void> {
  const ports: number[] = [];
  while (ports.length < WRITERS) ports.push(await freePort());
  const broker = await startBroker({ config: section === null ? {} : { store: section }, endpoints: [] });
  for (const port of ports) await broker.api('POST', '/api/endpoints/add', { ...base(port), exclusivePool: false });
  const times: number[] = [];
  let next = 0;
  const writer = async (port: number) => {
    while (next < CHANGES) {
      const n = next++;
      const startedAt = performance.now();
      const { status, body } = await broker.api('POST', '/api/endpoints/update', { port, maxConnectionSize: 1000 + n });
      if (status !== 200) throw new Error(JSON.stringify(body));
      if (n >= CHANGES / 10) times.push(performance.now() - startedAt);
    }
  };
  for (const writers of [1, WRITERS]) {
    times.length = 0;
    next = 0;
    await Promise.all(ports.slice(0, writers).map(writer));
    times.sort((a, b) => a - b);
    const at = (share: number) => times[Math.floor(times.length * share)]!.toFixed(1);
    say(`  change, ${writers} writers: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${times.at(-1)!.toFixed(1)} ms`);
  }
  await broker.stop();
}

const { values } = parseArgs({ options: { store: { type: 'string', default: 'all' } } });
const stores = STORES.filter((store) => values.store === 'all' || store === values.store);
if (stores.length === 0) throw new Error(`--store: one of ${STORES.join(', ')}, all`);
for (const store of stores) {
  say(
    `${store} (load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')})`,
  );
  const once = (store: StoreName, measure: typeof measureStart) => withStore(store, measure);
  await once(store, measureStart);
  await once(store, measureChanges);
  await withStore(store, (section) => measureHistory(section, say));
}
process.exit(0);
