/** The cluster answers of a single node: it is a cluster of one. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ config: { node: { name: 'hermit' } }, endpoints: [{ enableAuth: false, id: 'only' }] });
});
afterAll(async () => {
  await broker.stop();
});

async function data<T>(path: string): Promise<T> {
  const { status, body } = await broker.api('GET', path);
  expect(status, path).toBe(200);
  return (body as { data: T }).data;
}

test('lists itself, with its revision and the state of its store', async () => {
  const port = Number(new URL(broker.admin).port);
  const self = { name: 'hermit', self: true, twin: false, state: 'up', status: 'ok', adminPort: port, revision: 1, lag: 0, failed: [] };
  expect(await data('/api/cluster/nodes')).toEqual([expect.objectContaining({ ...self, store: { ok: true } })]);
  expect(await data('/api/cluster/status')).toMatchObject({
    node: 'hermit',
    enabled: false,
    revision: 1,
    nodes: { total: 1, up: 1 },
    inStep: true,
  });
  expect(await data('/api/endpoints/status')).toMatchObject([{ id: 'only', node: 'hermit', state: 'running' }]);
});

test('is the only node in the answer to a change, whatever it is asked to wait for', async () => {
  const change = { id: 'only', wiretap: true };
  const { body } = await broker.api('POST', '/api/endpoints/update?wait=all&policy=all', change);
  expect(body).toMatchObject({ code: 200, data: { revision: 2, nodes: [{ node: 'hermit', state: 'applied', reason: null }] } });
  expect(await data('/api/cluster/nodes')).toMatchObject([{ name: 'hermit', revision: 2 }]);
});
