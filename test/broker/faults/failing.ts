/** A broker whose worker threads can be made to fail, and what it says of them. */

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Broker, BrokerOptions } from '../../kit/broker.ts';
import { preload } from '../../kit/preload.ts';
import { until } from '../../kit/until.ts';

export type Failure = 'throw' | 'reject' | 'exit';
export const FAILURES: Failure[] = ['throw', 'reject', 'exit'];

export const WIDE = {
  enableAuth: false,
  maxConnectionSize: 100_000,
  maxConnectionPerSecond: 1_000_000,
  maxSessionSize: 100_000,
  maxQueuedMessages: 100_000,
};

/** A file here, named after a thread, says how that thread is to fail. */
export const failpoints = mkdtempSync(join(tmpdir(), 'fluxmq-failpoints-'));
mkdirSync(failpoints, { recursive: true });

/** The options of a broker that can fail. */
export function failing(options: BrokerOptions): BrokerOptions {
  const hook = resolve(import.meta.dirname, '../../kit/failpoint.ts');
  return { ...options, env: { ...options.env, FAILPOINTS: failpoints, NODE_OPTIONS: preload(hook) } };
}

export interface Thread {
  name: string;
  role: string;
  endpoints: string[];
}

export async function threads(broker: Broker): Promise<Thread[]> {
  const { body } = await broker.api('GET', '/api/system/resources');
  return (body as { data: { threads: Thread[] } }).data.threads;
}

/** The threads that serve the endpoint on this port. */
export async function workersOf(broker: Broker, port: number, id = `mqtt-${port}`): Promise<string[]> {
  return (await threads(broker)).filter((thread) => thread.endpoints.includes(id)).map((thread) => thread.name);
}

export interface Status {
  port: number;
  state: string;
  workers: number;
  connections: number;
  restarts: number;
}

export async function status(broker: Broker, port: number): Promise<Status> {
  const { body } = await broker.api('GET', `/api/endpoints/status?port=${port}`);
  const { data } = body as { data: unknown };
  const rows = JSON.parse(JSON.stringify(data), (_key, value: unknown) => value) as unknown;
  const found = findStatus(rows, port);
  if (found === null) throw new Error(`no status of ${port}: ${JSON.stringify(data)}`);
  return found;
}

function findStatus(value: unknown, port: number): Status | null {
  if (typeof value !== 'object' || value === null) return null;
  if ('restarts' in value && 'port' in value && value.port === port) return value as Status;
  for (const part of Object.values(value)) {
    const found = findStatus(part, port);
    if (found !== null) return found;
  }
  return null;
}

export async function workerRestarts(broker: Broker): Promise<number> {
  const { body } = await broker.api('GET', '/api/system/health');
  return (body as { data: { workerRestarts: number } }).data.workerRestarts;
}

/** Makes a thread fail and waits until it has gone. @returns milliseconds from its end (as far as seen from here) to `isBack` */
export async function crash(broker: Broker, thread: string, how: Failure, isBack: () => Promise<boolean>): Promise<number> {
  const before = await workerRestarts(broker);
  writeFileSync(join(failpoints, thread), how);
  const gone = await until(
    `${thread} fails`,
    async () => ((await threads(broker)).some(({ name }) => name === thread) ? 0 : performance.now()),
    5000,
    5,
  );
  await until(`${thread} is replaced`, async () => (await workerRestarts(broker)) > before && (await isBack()), 10_000, 5);
  return performance.now() - gone;
}
