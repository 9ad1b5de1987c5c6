/** Nodes that were alone, with endpoints of their own, and are given a cluster or a database, and lose it again: no endpoint vanishes silently. */

import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { messageOf } from '../../src/kernel/errors.ts';
import { type Broker, startBroker } from '../kit/broker.ts';
import { startPostgres } from '../kit/databases/postgres.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { freePort } from '../kit/free-port.ts';
import { type NatsServers, startNats } from '../kit/nats.ts';
import { RawClient } from '../kit/raw-client.ts';
import { change, storeOf } from './kit.ts';

let database: DatabaseServer;
let nats: NatsServers;
const running: Broker[] = [];
const folders: string[] = [];
/** Two nodes that were alone. A test gets copies of their folders. */
let former: { dir: string; ports: number[] }[];
beforeAll(async () => {
  database = await startPostgres();
  former = [await makeFormer(), await makeFormer()];
}, 60_000);
afterAll(async () => {
  await database?.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}, 30_000);
beforeEach(async () => {
  nats = await startNats();
}, 30_000);
afterEach(async () => {
  for (const node of running.splice(0)) await node.kill('SIGKILL').catch(() => null);
  await nats.stop();
}, 30_000);

async function start(...given: Parameters<typeof startBroker>): Promise<Broker> {
  const node = await startBroker(...given);
  running.push(node);
  return node;
}

/** A node that was alone: one endpoint of its file, one that was added, and killed. @returns its folder and ports */
async function makeFormer(): Promise<{ dir: string; ports: number[] }> {
  const first = await freePort();
  const node = await startBroker({ endpoints: [{ id: `e${first}`, port: first, enableAuth: false }] });
  const port = await freePort();
  const users = [{ username: 'ann', password: 'secret', encrypt: 'plain' }];
  const added = await change(node, 'add', { id: `e${port}`, port, host: '127.0.0.1', authConfig: { users } });
  expect(added.status).toBe(200);
  await node.kill('SIGKILL');
  return { dir: node.dir, ports: [first, port].sort() };
}

/** A copy of a node that was alone. */
function formerNode(index = 0): { dir: string; ports: number[] } {
  const { dir: original, ports } = former[index]!;
  const dir = mkdtempSync(join(tmpdir(), 'fluxmq-former-'));
  folders.push(dir);
  cpSync(original, dir, { recursive: true });
  configure(dir, {
    store: { storeType: 'LOCAL', local: { dataPath: join(dir, 'data') } },
    log: { level: 'info', file: join(dir, 'fluxmq.log') },
  });
  return { dir, ports };
}

/** Changes top-level sections of the node's configuration; undefined takes one away. */
function configure(dir: string, sections: Record<string, unknown>): void {
  const path = join(dir, 'config.yaml');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...sections }));
}

const joinCluster = (dir: string, name = 'node-1') =>
  configure(dir, { node: { name }, cluster: { addresses: nats.urls, sync: { interval: 1000 } } });
const localFiles = (dir: string) => readdirSync(join(dir, 'data')).filter((name) => name.startsWith('config.db'));
const TAKEN = [expect.stringMatching(/^config\.db\.taken-/)];

async function portsOf(node: Broker): Promise<number[]> {
  const { data } = (await node.api('GET', '/api/endpoints/list')).body as { data: { endpoints: Record<string, unknown> } };
  return Object.keys(data.endpoints).map(Number).sort();
}

async function refusalOf(dir: string): Promise<string> {
  return start({ dir }).then(
    () => 'it has started',
    (error) => messageOf(error),
  );
}

test('cluster: is added: the endpoints are there, with their users, and the history says why', async () => {
  const { dir, ports } = formerNode();
  joinCluster(dir);
  const node = await start({ dir });
  expect(await portsOf(node)).toEqual(ports);
  expect(await node.log()).toContain('Cluster: 2 endpoints of the LOCAL store were taken into the cluster');
  const client = await RawClient.open('tcp', ports.find((port) => port !== node.ports[0])!, 5);
  expect(await client.handshake({ username: 'ann', password: 'secret' })).toMatchObject({ code: 0 });
  const { body } = await node.api('GET', '/api/endpoints/history?limit=5');
  expect(JSON.stringify(body)).toContain('taken from the LOCAL store of node node-1');
  expect(localFiles(dir)).toEqual(TAKEN);
  // An old state does not overwrite changes from now on.
  expect((await change(node, 'remove', { id: `e${ports[0]}`, force: true })).status).toBe(200);
  await node.kill('SIGKILL');
  const again = await start({ dir });
  expect(await portsOf(again)).toEqual(ports.slice(1));
}, 60_000);

test('killed after the commit, before the file was moved: the next start continues, though the cluster has changed', async () => {
  const { dir, ports } = formerNode();
  const saved = readdirSync(join(dir, 'data')).filter((name) => /^(config|documents)\.db|^files\.json$/.test(name));
  for (const name of saved) copyFileSync(join(dir, 'data', name), join(dir, name));
  joinCluster(dir);
  const node = await start({ dir });
  expect((await change(node, 'update', { id: `e${ports[0]}`, maxConnectionSize: 7 })).status).toBe(200);
  await node.kill('SIGKILL');
  for (const name of readdirSync(join(dir, 'data'))) if (/^(config|documents)\.db/.test(name)) rmSync(join(dir, 'data', name));
  for (const name of saved) copyFileSync(join(dir, name), join(dir, 'data', name));
  const again = await start({ dir });
  const { body } = await again.api('GET', `/api/endpoints/get?id=e${ports[0]}`);
  expect(body).toMatchObject({ data: { endpoint: { maxConnectionSize: 7 } } });
  expect(await portsOf(again)).toEqual(ports);
  expect(localFiles(dir)).toEqual(TAKEN);
}, 60_000);

test('a cluster with other endpoints: the start ends with both and the ways out; --discard-local keeps the file', async () => {
  const [first, second] = [formerNode(0), formerNode(1)];
  joinCluster(first.dir);
  const node = await start({ dir: first.dir });
  joinCluster(second.dir, 'node-2');
  const refused = await refusalOf(second.dir);
  for (const port of second.ports) expect(refused).toContain(`${port} (not there)`);
  expect(refused).toContain(`the cluster has: ${(await portsOf(node)).join(', ')}`);
  expect(refused).toMatch(/--discard-local.*fluxmq export/);
  expect(localFiles(second.dir)).toContain('config.db');
  expect(await portsOf(node)).toEqual(first.ports);
  configure(second.dir, { node: { name: 'node-2', bindAddress: '127.0.0.2' } });
  const other = await start({ dir: second.dir, args: ['--discard-local'] });
  expect(await portsOf(other)).toEqual(first.ports);
  expect(localFiles(second.dir)).toEqual([expect.stringMatching(/^config\.db\.discarded-/)]);
}, 90_000);

test('two nodes at the same moment: one fills the cluster, the other one is refused with its file untouched', async () => {
  const nodes = [formerNode(0), formerNode(1)];
  for (const [index, { dir }] of nodes.entries()) joinCluster(dir, `node-${index + 1}`);
  const outcomes = await Promise.all(nodes.map(({ dir }) => refusalOf(dir)));
  const winner = outcomes.indexOf('it has started');
  expect(outcomes[1 - winner]).toContain('(not there)');
  expect(await portsOf(running.at(-1)!)).toEqual(nodes[winner]!.ports);
  expect(localFiles(nodes[1 - winner]!.dir)).toContain('config.db');
}, 60_000);

test('cluster: is taken away again: the start says where the endpoints are', async () => {
  const { dir } = formerNode();
  joinCluster(dir);
  await (await start({ dir })).kill('SIGKILL');
  configure(dir, { cluster: undefined });
  const alone = await start({ dir });
  const [file] = localFiles(dir).filter((name) => name.includes('taken'));
  expect(await alone.log()).toMatch(new RegExp(`"level":"warn".*${file}`));
}, 60_000);

test('a database is given: the same rule', async () => {
  const { dir, ports } = formerNode();
  const store = { ...storeOf(database, await database.createDatabase()), local: { dataPath: join(dir, 'data') } };
  configure(dir, { store });
  const node = await start({ dir });
  expect(await portsOf(node)).toEqual(ports);
  expect(await node.log()).toContain('Store: 2 endpoints of the LOCAL store were taken into POSTGRESQL');
  const second = formerNode(1);
  configure(second.dir, { store: { ...store, local: { dataPath: join(second.dir, 'data') } } });
  expect(await refusalOf(second.dir)).toContain('(not there)');
}, 60_000);

test('--discard-local where config.db is the store itself: refused, and nothing is moved', async () => {
  const { dir, ports } = formerNode();
  await expect(start({ dir, args: ['--discard-local'], readyMs: 8000 })).rejects.toThrow('--discard-local is for a node with a database');
  expect(await portsOf(await start({ dir }))).toEqual(ports);
}, 60_000);
