/** A node's view of its cluster: status, nodes, health, metrics and log, while NATS and endpoints come and go; and its join. */

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { Authority, certificateFolder } from '../kit/certificates.ts';
import { DnsServer } from '../kit/dns.ts';
import { freePort } from '../kit/free-port.ts';
import { startNats } from '../kit/nats.ts';
import { until } from '../kit/until.ts';
import { change, statesOf, TestCluster } from './kit.ts';
import { untilLinked } from './messages-kit.ts';

const ROOT = resolve(import.meta.dirname, '../..');
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ store: { storeType: 'MEMORY' }, nodes: 2 });
}, 60_000);
afterAll(() => cluster?.stop(), 60_000);

interface Health {
  status: string;
  nats: { connected: boolean; server: string | null; reason: string | null } | null;
  store: { ok: boolean };
}

async function healthOf(node: Broker): Promise<Health> {
  return ((await node.api('GET', '/api/system/health')).body as { data: Health }).data;
}

/** `name{labels}` → value, of what begins with fluxmq_config_ or fluxmq_cluster_. */
async function numbersOf(node: Broker): Promise<Record<string, number>> {
  const { body } = await node.api('GET', '/public/metrics');
  const lines = (body as string).matchAll(/^(fluxmq_(?:config|cluster)_\w+(?:\{[^}]*\})?) (\S+)$/gm);
  return Object.fromEntries([...lines].map(([, name = '', value]) => [name, Number(value)]));
}

test('a change, and an endpoint that cannot follow, are counted and logged on both sides', async () => {
  const [a, b] = cluster.nodes as [Broker, Broker];
  const [port, taken] = [await freePort(), await freePort()];
  // A node that is linked says so by a heartbeat, which would count in place of the receipt.
  await untilLinked(cluster.nodes);
  const before = await Promise.all([numbersOf(a), numbersOf(b)]);
  const added = await change(a, 'add', { id: 'x', port, enableAuth: false });
  expect(added.nodes).toEqual({ 'node-1': 'applied', 'node-2': 'applied' });
  const grown = async (node: Broker, index: number, name: string) => (await numbersOf(node))[name]! - before[index]![name]!;
  expect(await grown(a, 0, 'fluxmq_cluster_announcements_total{event="sent"}')).toBe(1);
  expect(await grown(b, 1, 'fluxmq_cluster_announcements_total{event="received"}')).toBeGreaterThan(0);
  expect(await grown(b, 1, 'fluxmq_cluster_receipts_total{event="sent"}')).toBeGreaterThan(0);
  expect(await grown(a, 0, 'fluxmq_cluster_receipts_total{event="received"}')).toBeGreaterThan(0);
  expect(await grown(b, 1, 'fluxmq_config_reconciliations_total{outcome="applied"}')).toBe(1);
  expect(await grown(b, 1, 'fluxmq_config_store_reads_total{outcome="ok"}')).toBeGreaterThan(0);
  const well = { fluxmq_config_diverged_endpoints: 0, fluxmq_cluster_diverged_nodes: 0, fluxmq_cluster_lag_revisions: 0 };
  for (const node of [a, b]) {
    await until('both are in step', async () => (await numbersOf(node))['fluxmq_cluster_diverged_nodes'] === 0);
    expect(await numbersOf(node)).toMatchObject({
      ...well,
      fluxmq_config_revision: added.revision,
      fluxmq_config_store_up: 1,
      fluxmq_cluster_nats_up: 1,
      'fluxmq_cluster_nodes{state="up"}': 2,
      'fluxmq_cluster_nodes{state="down"}': 0,
    });
    // Messages cross a moment after the nodes know each other.
    await until('it is well', async () => (await healthOf(node)).status === 'ok');
    expect(await healthOf(node)).toMatchObject({ nats: { connected: true, reason: null } });
  }
  const intruder = createServer().listen({ host: '127.0.0.11', port: taken, exclusive: true });
  try {
    expect((await change(a, 'update', { id: 'x', newPort: taken })).nodes).toEqual({ 'node-1': 'applied', 'node-2': 'failed' });
    expect(await numbersOf(b)).toMatchObject({ fluxmq_config_diverged_endpoints: 1 });
    expect(await grown(b, 1, 'fluxmq_config_reconciliations_total{outcome="failed"}')).toBeGreaterThan(0);
    await until('node-1 knows', async () => (await numbersOf(a))['fluxmq_cluster_diverged_nodes'] === 1);
    expect((await b.api('GET', '/health')).status).toBe(200);
    expect(await healthOf(b)).toMatchObject({ status: 'degraded' });
    const log = await until('the log', async () => {
      const text = await b.log();
      return text.includes('ConfigSync: Configuration sync failed') ? text : null;
    });
    expect(log).toContain(`Endpoint ${taken}: revision ${added.revision + 1} is not applied: Port ${taken} is already in use`);
  } finally {
    await new Promise((end) => intruder.close(end));
  }
  await until('node-2 has followed', async () => (await numbersOf(b))['fluxmq_config_diverged_endpoints'] === 0, 20_000);
  expect(await b.log()).toContain(`ConfigSync: Endpoint ${taken} was brought to revision ${added.revision + 1}`);
  await change(a, 'remove', { id: 'x', force: true });
});

test('the metrics of a cluster are those of the document', async () => {
  const document = readFileSync(join(ROOT, 'docs/metrics-and-logs.md'), 'utf8');
  const named = new Set([...document.matchAll(/`(fluxmq_cluster_\w+)(?:\{\w+\})?`/g)].map(([, name = '']) => name));
  const known = new Set(
    Object.keys(await numbersOf(cluster.nodes[0]!))
      .map((name) => name.replace(/\{.*/, ''))
      .filter((name) => name.startsWith('fluxmq_cluster_')),
  );
  expect([...named].sort()).toEqual([...known].sort());
});

test('NATS away, and with it the store: both nodes say so, still serve, and are well by themselves when it is back', async () => {
  const [a, b] = cluster.nodes as [Broker, Broker];
  const port = await freePort();
  await change(a, 'add', { id: 'y', port, enableAuth: false });
  await cluster.nats.servers[0]!.kill();
  for (const node of [a, b]) {
    const isSeen = async () => (await healthOf(node)).nats?.connected === false && !(await healthOf(node)).store.ok;
    await until('it is seen', isSeen, 20_000);
    expect(await healthOf(node)).toMatchObject({
      status: 'degraded',
      nats: { server: null, reason: expect.stringContaining('nobody listens') },
    });
    const { status, body } = await node.api('GET', '/health');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      data: {
        status: 'degraded',
        reasons: ['the store is away: changes and history are refused', 'there is no connection to NATS: changes of other nodes come late'],
      },
    });
    expect(await numbersOf(node)).toMatchObject({ fluxmq_cluster_nats_up: 0, fluxmq_config_store_up: 0 });
    expect((await numbersOf(node))['fluxmq_config_store_reads_total{outcome="failed"}']).toBeGreaterThan(0);
    const log = await node.log();
    expect(log).toContain('Cluster: no connection to NATS');
    expect(log.match(/ConfigSync: Configuration sync failed: the store cannot be used/g)).toHaveLength(1);
  }
  await cluster.nats.servers[0]!.start();
  await cluster.untilUp(2);
  for (const node of [a, b]) await until('it is well', async () => (await numbersOf(node))['fluxmq_cluster_nats_up'] === 1);
}, 60_000);

test('found by DNS, over TLS, with a password: a wrong one is reported and not leaked, and a node with the right one joins', async () => {
  const authority = Authority.root(certificateFolder());
  const { cert, key } = authority.issue('nats');
  const nats = await startNats({
    config: `tls { cert_file: "${cert}", key_file: "${key}" }\nauthorization { user: node, password: open-sesame }`,
  });
  const dns = await DnsServer.start();
  const service = 'nats.farm.svc.cluster.local';
  dns.zones.set(service, { srv: [{ target: 'localhost', port: nats.servers[0]!.port }] });
  dns.zones.set('localhost', { a: ['127.0.0.1'] });
  const configOf = (name: string, password: string) => ({
    node: { name },
    cluster: {
      kubernetes: { service: 'nats', namespace: 'farm', dnsServers: [dns.address] },
      credentials: { user: 'node', password, tls: { ca: authority.cert } },
    },
  });
  const nodes: Broker[] = [];
  try {
    const right = await startBroker({ endpoints: [], config: { ...configOf('right', 'open-sesame'), store: { storeType: 'MEMORY' } } });
    nodes.push(right);
    await until('it is in', async () => (await healthOf(right)).status === 'ok');
    // It knew the store once, so that it starts without it.
    const wrong = await startBroker({ endpoints: [], config: configOf('wrong', 'open-sesame') });
    nodes.push(wrong);
    await until('two are up', async () => (await statesOf(right)).filter(({ state }) => state === 'up').length === 2);
    await wrong.stop();
    const file = join(wrong.dir, 'config.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('open-sesame', 'wrong-sesame'));
    const again = await startBroker({ dir: wrong.dir });
    nodes.push(again);
    await until('the refusal', async () => /user node/.test((await healthOf(again)).nats?.reason ?? ''));
    const answers = await Promise.all(
      ['/api/cluster/status', '/api/cluster/nodes', '/api/system/health', '/health'].map((path) => again.api('GET', path)),
    );
    const said = `${JSON.stringify(answers.map(({ body }) => body))}${await again.log()}`;
    expect(said).toContain('it refuses the login');
    expect(said).not.toContain('sesame');
  } finally {
    for (const node of nodes) await node.kill('SIGKILL').catch(() => null);
    await nats.stop();
    await dns.stop();
  }
}, 90_000);
