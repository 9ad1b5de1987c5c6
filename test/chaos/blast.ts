/** Endpoint B must not notice endpoint A: A is added, rebound and removed, its worker is ended, and A is flooded with connections. */

import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Broker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { sleep } from '../kit/until.ts';
import { WIDE } from './rebind.ts';
import { Traffic } from './traffic.ts';

export interface BlastReport {
  what: string;
  /** messages between clients of B during the disturbance; all arrived, in order */
  messages: number;
  dropped: number;
  before: { p50: number; p99: number; max: number };
  during: { p50: number; p99: number; max: number };
  /** figures of the disturbance itself */
  detail: Record<string, number>;
}

export interface BlastOptions {
  broker: Broker;
  /** port of B */
  calm: number;
  perSecond: number;
  beforeMs: number;
}

/** @throws Error when a client of B missed a message */
export async function blast(
  what: string,
  { broker, calm, perSecond, beforeMs }: BlastOptions,
  disturb: (broker: Broker) => Promise<Record<string, number>>,
): Promise<BlastReport> {
  const traffic = await Traffic.start({ transport: 'tcp', from: calm, to: calm, pairs: 4, perSecond });
  await sleep(200);
  traffic.latency();
  await sleep(beforeMs);
  const before = traffic.latency();
  const detail = await disturb(broker);
  const during = traffic.latency();
  const { dropped } = traffic;
  return { what, messages: await traffic.stop(), dropped, before, during, detail };
}

async function change(broker: Broker, action: string, body: Record<string, unknown>): Promise<void> {
  const answer = await broker.api('POST', `/api/endpoints/${action}`, body);
  if (answer.status !== 200) throw new Error(`${action}: ${JSON.stringify(answer.body)}`);
}

/** Adds, rebinds and removes A, `rounds` times. */
export function comesAndGoes(rounds: number): (broker: Broker) => Promise<Record<string, number>> {
  return async (broker) => {
    for (let n = 0; n < rounds; n++) {
      await change(broker, 'add', { ...WIDE, id: 'a', port: await freePort() });
      await change(broker, 'update', { id: 'a', useWebsocket: n % 2 === 0, namespace: `n${n % 3}` });
      await change(broker, 'remove', { id: 'a' });
    }
    return { rounds };
  };
}

/** Floods a port with a limit of 100 connections per second, from `threads` threads for `seconds`. */
export function flooded(port: number, threads: number, seconds: number): (broker: Broker) => Promise<Record<string, number>> {
  return async () => {
    const file = join(import.meta.dirname, 'flood-thread.ts');
    const floods = Array.from({ length: threads }, () => {
      const worker = new Worker(file, { workerData: { port, seconds }, execArgv: ['--no-warnings'] });
      return new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
    });
    const attempts = (await Promise.all(floods)).reduce((sum, each) => sum + each, 0);
    return { attempts, perSecond: Math.round(attempts / seconds) };
  };
}
