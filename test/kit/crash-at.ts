/**
 * Loaded into a broker under test by `--import`: ends the process with SIGKILL when a change reaches a step for the n-th time
 * (`CRASH_AT=stored:2`). Production code does not know this file.
 */

import { subscribe } from 'node:diagnostics_channel';
import { isMainThread } from 'node:worker_threads';

const [step, occurrence = '1'] = (process.env['CRASH_AT'] ?? '').split(':');

if (isMainThread && step !== '') {
  let left = Number(occurrence);
  subscribe('fluxmq:change', (reached) => {
    if (reached !== step) return;
    left--;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  });
}
