/**
 * `node main.mjs DEATHS PORTS`: threads with uWebSockets.js die in one process, several at a time, under a storm of clients. Prints a
 * DeathsReport. Without the guard the first death of most kinds aborts the process.
 * The test builds it first: to strip the types of a source costs each thread more than the rest of its life.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import { type DeathsReport, KINDS, type Kind, type Ports, type Served } from './deaths.ts';

const count = Number(process.argv[2]);
const ports = JSON.parse(process.argv[3] ?? '') as Ports;
const LANES = 6;
const LOOK_MS = 20;
/** A thread dies only after it has adopted this many connections, one of them a WebSocket: otherwise it would have nothing to lose. */
const ADOPTED_MIN = 8;
const BLOCKED_MS = 40;
/** Even on a busy machine, the living thread closes the connections that clients have left within this time. A leaked one stays. */
const CLOSED_MS = 10_000;
const HEAP_MB = 12;

const report: DeathsReport = {
  deaths: {},
  served: { accepted: 0, adopted: 0, upgraded: 0, messages: 0 },
  sockets: { before: 0, after: 0 },
  rss: { early: 0, late: 0 },
  survivor: { accepted: 0, adopted: 0, upgraded: 0, messages: 0 },
};

function sockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

async function start(kind: Kind | null): Promise<Worker> {
  const worker = new Worker(new URL('thread.mjs', import.meta.url), {
    workerData: ports,
    ...(kind === 'heap' ? { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } } : {}),
  });
  // The test wants this error: it kills the thread.
  worker.on('error', () => {});
  await once(worker, 'message');
  return worker;
}

/** once() would fail with the error that kills the thread. */
const next = (worker: Worker, event: 'message' | 'exit') => new Promise((resolve) => worker.once(event, resolve));

function ask(worker: Worker, what: 'tell'): Promise<Served> {
  worker.postMessage(what);
  return next(worker, 'message') as Promise<Served>;
}

async function busy(worker: Worker): Promise<Served> {
  for (;;) {
    const served = await ask(worker, 'tell');
    if (served.adopted >= ADOPTED_MIN && served.upgraded > 0) return served;
    await pause(LOOK_MS);
  }
}

async function kill(kind: Kind): Promise<void> {
  const worker = await start(kind);
  const served = await busy(worker);
  const exit = next(worker, 'exit');
  worker.postMessage(kind);
  if (kind === 'block') await pause(BLOCKED_MS);
  if (kind === 'block' || kind === 'terminate') void worker.terminate();
  const name = `${kind} ${await exit}`;
  report.deaths[name] = (report.deaths[name] ?? 0) + 1;
  for (const each of ['accepted', 'adopted', 'upgraded', 'messages'] as const) report.served[each] += served[each];
}

let begun = 0;
async function lane(until: number): Promise<void> {
  while (begun < until) await kill(KINDS[begun++ % KINDS.length]!);
}

const killUntil = (until: number) => Promise.all(Array.from({ length: LANES }, () => lane(until)));

lookForTransports();
const survivor = await start(null);
report.sockets.before = sockets();
const storm = fork(new URL('storm.mjs', import.meta.url), [process.argv[3] ?? ''], { execArgv: [] });
await once(storm, 'message');
await killUntil(Math.floor(count / 3));
report.rss.early = process.memoryUsage.rss();
await killUntil(Math.floor((count * 2) / 3));
const before = await ask(survivor, 'tell');
await killUntil(count);
report.rss.late = process.memoryUsage.rss();
const after = await ask(survivor, 'tell');
for (const each of ['accepted', 'adopted', 'upgraded', 'messages'] as const) report.survivor[each] = after[each] - before[each];
storm.send('stop');
await once(storm, 'exit');
const closedBy = performance.now() + CLOSED_MS;
do await pause(LOOK_MS);
while (sockets() !== report.sockets.before && performance.now() < closedBy);
report.sockets.after = sockets();
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(7));
