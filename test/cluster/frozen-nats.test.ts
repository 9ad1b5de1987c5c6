/** A NATS server freezes under a cluster: its nodes leave it for another server, answer their API all the time, and lose no change. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { until } from '../kit/until.ts';
import { change, configurationOf, TestCluster } from './kit.ts';

/** 1.5 s, and the rest is for a loaded machine. The API is read each 20 ms. */
const LEFT_MS_MAX = 3_000;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ store: { storeType: 'LOCAL' }, nodes: 2, servers: 3 });
}, 60_000);
afterAll(() => cluster?.stop(), 60_000);

/** The NATS server of a node by its API; null while it has none. */
async function serverOf(index: number): Promise<string | null> {
  const { body } = await cluster.nodes[index]!.api('GET', '/api/cluster/status');
  return (body as { data: { nats: { server: string | null } } }).data.nats.server;
}

test('both nodes leave the frozen server, and every change that was answered 200 is on both', async () => {
  const [a, b] = cluster.nodes;
  const used = (await serverOf(0))!;
  const frozen = cluster.nats.servers.find(({ port }) => used.endsWith(`:${port}`))!;
  const made: string[] = [];
  const add = async (node: typeof a, id: string) => {
    const { status } = await change(node!, 'add', { id, port: await freePort(), enableAuth: false }, '?timeout=5s');
    if (status === 200) made.push(id);
    return status;
  };
  expect(await add(a, 'before')).toBe(200);
  frozen.pause();
  const frozenAt = performance.now();
  let slowest = 0;
  const reading = (async () => {
    while (performance.now() - frozenAt < 4_000) {
      const began = performance.now();
      expect((await a!.api('GET', '/api/endpoints/list')).status).toBe(200);
      slowest = Math.max(slowest, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const changing = (async () => {
    for (let n = 0; performance.now() - frozenAt < 12_000; n++) {
      // 503: the store's servers have to elect a leader first. A change that was refused is repeated as another one.
      expect([200, 503]).toContain(await add(n % 2 === 0 ? a : b, `during-${n}`));
      if (made.length >= 6) return;
    }
  })();
  for (const index of [0, 1]) {
    await until('a connection to another server', async () => ![null, used].includes(await serverOf(index)), 10_000, 20);
    expect(performance.now() - frozenAt).toBeLessThan(LEFT_MS_MAX);
  }
  await reading;
  expect(slowest).toBeLessThan(1_000);
  await changing;
  expect(made.length).toBeGreaterThan(1);
  await cluster.untilInStep();
  frozen.resume();
  // The thawed server may hold an election, during which the store takes no change.
  let tries = 0;
  await until('a change after the thaw', async () => (await add(b, `after-${tries++}`)) === 200, 20_000);
  await cluster.untilInStep();
  for (const node of cluster.nodes) {
    const configuration = await configurationOf(node);
    expect(made.filter((id) => !configuration.includes(`"${id}"`))).toEqual([]);
  }
  const lines = (await a!.log()).split('\n').filter((line) => line.includes('no connection to NATS'));
  const silence = expect.stringContaining(`:${frozen.port} is silent: no answer to a PING within 1000 ms`);
  // The relay has a connection of its own, to a server that it has chosen by itself.
  const [own, ofRelay] = [
    lines.filter((line) => !line.includes('"worker":"relay')),
    lines.filter((line) => line.includes('"worker":"relay')),
  ];
  expect(own).toEqual([silence]);
  for (const line of ofRelay) expect(line).toEqual(silence);
}, 90_000);
