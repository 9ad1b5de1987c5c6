/**
 * Loaded into every thread of a broker under test by `--import`: makes a worker thread fail when a file with the thread's name appears.
 * Production code does not know this file.
 */

import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, workerData } from 'node:worker_threads';

const dir = process.env['FAILPOINTS'];
const boot = workerData as { role?: string; peer?: number } | null;

function fail(how: string): void {
  if (how.startsWith('block ')) {
    // Waits without using the CPU, which the other tests need.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(how.slice('block '.length)));
    return;
  }
  if (how === 'exit') process.exit(3);
  if (how === 'reject') void Promise.reject(new Error('failpoint: rejected'));
  else throw new Error('failpoint: thrown');
}

if (!isMainThread && dir !== undefined && boot?.role !== undefined && boot.peer !== undefined) {
  const file = join(dir, `${boot.role}-${boot.peer}`);
  setInterval(() => {
    if (!existsSync(file)) return;
    const how = readFileSync(file, 'utf8');
    if (how === '') return;
    unlinkSync(file);
    fail(how);
  }, 10).unref();
}
