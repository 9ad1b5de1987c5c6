/**
 * Delays the start of the session worker by SLOW_START milliseconds. `--import` loads this file into every thread of a broker under test.
 */

import { isMainThread, workerData } from 'node:worker_threads';

const ms = Number(process.env['SLOW_START'] ?? 0);
const boot = workerData as { role?: string } | null;
if (!isMainThread && boot?.role === 'session' && ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
