/** A worker thread for tests of WorkerHandle; `workerData.node` says how it behaves. */

import { parentPort, workerData } from 'node:worker_threads';

const behaviour = workerData.node;
const send = (frame) => parentPort.postMessage(frame);
if (behaviour !== 'silent') send({ kind: 'event', body: { event: 'ready', protocolVersion: behaviour === 'old' ? 0 : 1 } });
if (behaviour === 'early-exit') process.exit(4);
parentPort.on('message', (frame) => {
  if (frame.kind === 'result')
    send({ kind: 'event', body: { event: 'log', level: 'info', message: JSON.stringify(frame), fields: { a: 1 } } });
  else if (frame.name === 'clients.list') send({ kind: 'result', id: frame.id, ok: true, result: [frame.params.endpoint] });
  else if (frame.name === 'thread.usage') process.exit(5);
  else if (frame.name === 'sessions.count') send({ kind: 'question', id: 77, name: 'access.verify', params: { password: 'x' } });
  else if (frame.name === 'publish')
    send({ kind: 'result', id: frame.id, ok: false, error: { kind: 'exists', message: 'no', issues: [] } });
  else if (frame.name === 'shutdown' && behaviour === 'polite') {
    send({ kind: 'result', id: frame.id, ok: true, result: null });
    send({ kind: 'event', body: { event: 'closed' } });
    parentPort.close();
  } else if (frame.name === 'shutdown' && behaviour === 'lingering') {
    send({ kind: 'event', body: { event: 'closed' } });
  }
});
