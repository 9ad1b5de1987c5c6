/** Thread of blast.ts: attempts connections as fast as it can, with a limit on simultaneous attempts. */

import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { port, seconds } = workerData as { port: number; seconds: number };
const AT_ONCE = 200;
const end = performance.now() + seconds * 1000;
let attempts = 0;
let open = 0;

function fill(): void {
  while (open < AT_ONCE && performance.now() < end) {
    open++;
    attempts++;
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => socket.resetAndDestroy());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      open--;
      setImmediate(fill);
    });
  }
  if (open === 0 && performance.now() >= end) parentPort!.postMessage(attempts);
}

fill();
