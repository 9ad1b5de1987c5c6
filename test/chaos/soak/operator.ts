/** Rounds of a soak by an operator: changes, reads, event streams that come and go, metrics, backups. */

import { freePort } from '../../kit/free-port.ts';
import { connected } from '../../kit/lanes.ts';
import { sleep } from '../../kit/until.ts';
import type { Round } from './activity.ts';

const READS = [
  '/api/endpoints/list',
  '/api/endpoints/status',
  '/api/endpoints/metrics',
  '/api/endpoints/history?limit=50',
  '/api/endpoints/export',
  '/api/endpoints/backup',
  '/api/clients?page=1&size=50',
  '/api/system/resources',
  '/public/metrics',
  '/health',
  '/openapi.json',
];
/** Updates of one endpoint, in turn; the last one restores the first state. */
export const CHANGES: readonly Record<string, unknown>[] = [
  { serverOptions: { workerGroupSize: 2 } },
  { maxConnectionSize: 5000 },
  { namespace: 'other' },
  { useWebsocket: true },
  { exclusivePool: false },
  { useWebsocket: false },
  { exclusivePool: true },
  { namespace: 'default' },
  { serverOptions: { workerGroupSize: 1 } },
];
const PAUSE_MS = 500;

/** Changes an endpoint under its client; adds, uses and removes another one. */
export const change: Round = async ({ broker }, round) => {
  const ask = async (action: string, body: Record<string, unknown>): Promise<void> => {
    const answer = await broker.api('POST', `/api/endpoints/${action}`, body);
    if (answer.status !== 200) throw new Error(`${action} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
  };
  await ask('update', { id: 'changing', drainMs: 100, ...CHANGES[round % CHANGES.length] });
  const port = await freePort();
  await ask('add', { id: 'guest', port, host: '127.0.0.1', enableAuth: false });
  const client = await connected('tcp', port, 5);
  await client.subscribe('soak/guest', 1);
  await ask('remove', { id: 'guest' });
  await client.closed();
  await sleep(PAUSE_MS);
};

/** Reads every page that an operator or a monitor reads, and an event stream that is cut off. */
export const look: Round = async ({ broker }) => {
  for (const path of READS) {
    const answer = await fetch(broker.admin + path, { signal: AbortSignal.timeout(10_000) });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  }
  const stream = new AbortController();
  const events = await fetch(`${broker.admin}/api/endpoints/watch`, { signal: stream.signal });
  await events.body?.getReader().read();
  stream.abort();
  await sleep(PAUSE_MS);
};
