/** A thread that probes one port 300 times and says how often it was refused. */

import { parentPort, workerData } from 'node:worker_threads';
import { probePort } from '../../../src/control/probe/port-probe.ts';

const { port } = workerData as { port: number };
let refused = 0;
for (let n = 0; n < 300; n++) {
  await probePort('127.0.0.1', port).catch(() => refused++);
  await new Promise(setImmediate);
}
parentPort!.postMessage(refused);
