/**
 * Loaded into every thread of a broker under test by `--import`: on request it collects the thread's garbage, and writes down what is left.
 * See heap-use.ts.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { collectGarbage } from './garbage.ts';

const dir = process.env['HEAP_USE'];
const LOOK_MS = 100;

/** The number of the last request; '' before the first one. */
function requested(): string {
  try {
    return readFileSync(join(dir!, 'request'), 'latin1');
  } catch {
    return '';
  }
}

if (dir !== undefined) {
  let last = '';
  const look = async (): Promise<void> => {
    const request = requested();
    if (request === last) return;
    last = request;
    await collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    writeFileSync(join(dir, `${request}-${threadId}`), `${heapUsed + external}`);
  };
  setInterval(() => void look(), LOOK_MS).unref();
}
