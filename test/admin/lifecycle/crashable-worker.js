/** The built worker of `workerData.role`, which ends on demand over a BroadcastChannel: `{ peer, how: 'throw' | 'exit' }`. */

import { BroadcastChannel, workerData } from 'node:worker_threads';

const channel = new BroadcastChannel('test-crash');
channel.unref();
channel.onmessage = ({ data }) => {
  if (data.peer !== workerData.peer) return;
  if (data.how === 'exit') process.exit(7);
  setImmediate(() => {
    throw new Error('told to throw');
  });
};
await import(`../../../dist/workers/${workerData.role}-worker.js`);
