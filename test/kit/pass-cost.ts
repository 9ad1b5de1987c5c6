/**
 * Loaded into every thread of a broker under test by `--import`: writes down how much CPU time each long pass of a worker's event loop took.
 * Unlike the delay of the loop it says the same on a machine that has other work. Production code does not use it.
 */

import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, workerData } from 'node:worker_threads';

const dir = process.env['PASS_COST'];
const boot = workerData as { role?: string; peer?: number } | null;
/** Passes under this are nothing to write about, milliseconds. */
const NOTED_MS = 20;
const PROBE_MS = 2;

/** CPU time of this thread, milliseconds. */
function cpuNow(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
}

if (!isMainThread && dir !== undefined && boot?.role !== undefined && boot.peer !== undefined) {
  const file = join(dir, `${boot.role}-${boot.peer}`);
  let last = cpuNow();
  const probe = (): void => {
    const now = cpuNow();
    if (now - last >= NOTED_MS) appendFileSync(file, `${Date.now()} ${(now - last).toFixed(1)}\n`);
    last = now;
    timer.refresh();
  };
  const timer = setTimeout(probe, PROBE_MS).unref();
}
