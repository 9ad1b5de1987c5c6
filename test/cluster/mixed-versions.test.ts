/** A rolling upgrade: what a newer version has written is kept by this one through every change, is not shown, and is not run as if it were understood. */

import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultEndpoint } from '../../src/endpoint/defaults.ts';
import type { Endpoint } from '../../src/endpoint/endpoint.ts';
import type { EndpointStore } from '../../src/storage/endpoint-store.ts';
import { openJetStreamStore } from '../../src/storage/jetstream/jetstream-store.ts';
import { openPostgresStore } from '../../src/storage/postgres/postgres-store.ts';
import { META } from '../contract/store-changes.ts';
import type { Broker } from '../kit/broker.ts';
import { startPostgres } from '../kit/databases/postgres.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';
import { change, statesOf, storeOf, TestCluster } from './kit.ts';

const ADDRESS = '127.0.0.10';
const FOREIGN = { shadow: { url: 'amqp://queue', password: 'hunter2' }, quota: 7 };

/** As a version would write it that knows more. */
async function fromTheFuture(more: Record<string, unknown> = {}): Promise<Endpoint> {
  const endpoint = { ...defaultEndpoint(await freePort()), id: 'x', enableAuth: false };
  const { sslConfig, serverOptions, childOptions } = endpoint;
  return {
    ...endpoint,
    ...FOREIGN,
    sslConfig: { ...sslConfig, pinned: ['abc'] },
    serverOptions: { ...serverOptions, cpu: 3 },
    childOptions: { ...childOptions, soMark: 9 },
    ...more,
  } as Endpoint;
}

describe.each(['POSTGRESQL', 'LOCAL'])('store %s', (kind) => {
  let database: DatabaseServer | null = null;
  let cluster: TestCluster;
  let node: Broker;
  /** the newer node's */
  let store: EndpointStore;
  beforeAll(async () => {
    database = kind === 'POSTGRESQL' ? await startPostgres() : null;
    const name = (await database?.createDatabase()) ?? '';
    cluster = await TestCluster.start({ store: storeOf(database, name), nodes: 1 });
    node = cluster.nodes[0]!;
    if (database === null) {
      const addresses = cluster.nats.urls.map((url) => url.slice('nats://'.length));
      const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
      store = await openJetStreamStore({ place: { kind: 'addresses', addresses }, credentials }, 'newer', 'file');
    } else {
      const { host, port, username, password } = database;
      store = await openPostgresStore({
        host,
        port,
        username,
        password,
        database: name,
        schema: null,
        kind: 'postgres',
        tls: 'off',
        ca: null,
        maxPoolSize: 2,
      });
    }
  }, 90_000);
  afterAll(async () => {
    await store?.close();
    await cluster?.stop();
    await database?.stop();
  }, 60_000);
  const stored = async (id = 'x') => (await store.load()).endpoints.find(({ endpoint }) => endpoint.id === id)?.endpoint;
  const listens = async (port: number) => {
    const client = await RawClient.open('tcp', port, 4, ADDRESS);
    const { code } = await client.handshake({});
    client.destroy();
    return code === 0;
  };
  const read = async (path: string) => (await node.api('GET', path)).body as { data: Record<string, unknown> };

  test('keys that it does not know are kept by every kind of change, run without, and are not shown', async () => {
    const written = await fromTheFuture();
    const first = await store.commit([{ kind: 'put', endpoint: written }], {}, META);
    await until('it listens', () => listens(written.port).catch(() => false), 10_000);
    expect(await node.log()).toContain('keys that this version does not know: shadow, quota, sslConfig.pinned, serverOptions.cpu');
    const kept = async (what: string) => {
      const now = await stored();
      expect([what, now]).toMatchObject([what, FOREIGN]);
      expect(now).toMatchObject({ sslConfig: { pinned: ['abc'] }, serverOptions: { cpu: 3 }, childOptions: { soMark: 9 } });
      return now!;
    };
    const newPort = await freePort();
    const sent: [string, Record<string, unknown>][] = [
      ['update', { id: 'x', maxConnectionSize: 5, serverOptions: { soBacklog: 100 }, childOptions: { tcpNodelay: false } }],
      ['update', { id: 'x', newPort, isDefault: true }],
      ['add', { id: 'other', port: await freePort(), enableAuth: false, isDefault: true }],
      ['disable', { id: 'x' }],
      ['enable', { id: 'x' }],
      ['import', { configs: [{ id: 'third', port: await freePort(), enableAuth: false }], mode: 'merge' }],
    ];
    for (const [what, body] of sent) {
      expect([what, await change(node, what, body)]).toMatchObject([what, { status: 200 }]);
      await kept(what);
    }
    expect(await kept('all')).toMatchObject({ port: newPort, maxConnectionSize: 5, isDefault: false });
    expect(await listens(newPort)).toBe(true);

    // The newer node changes what only it knows; the older one takes that back when it is asked to.
    const { revision, endpoints } = await store.load();
    const later = { ...endpoints.find(({ endpoint }) => endpoint.id === 'x')!.endpoint, quota: 8 } as Endpoint;
    await store.commit([{ kind: 'put', endpoint: later }], {}, META);
    expect(await stored()).toMatchObject({ quota: 8 });
    await until('it has read that', async () => (await statesOf(node))[0]!.revision === revision + 1, 10_000);
    expect(await change(node, 'rollback', { revision })).toMatchObject({ status: 200, revision: revision + 2 });
    expect(await stored()).toMatchObject(FOREIGN);
    expect(await change(node, 'rollback', { revision: first, id: 'x', force: true })).toMatchObject({ status: 200 });
    expect(await stored()).toEqual(written);

    for (const path of ['list', 'get?id=x', `get?port=${written.port}`, 'history?limit=100', 'export', 'backup']) {
      const text = JSON.stringify(await read(`/api/endpoints/${path}`));
      expect([path, /hunter2|shadow|pinned|soMark/.exec(text)]).toEqual([path, null]);
    }
    expect((await read('/api/endpoints/export')).data['note']).toContain('newer version');
    expect(JSON.stringify(await read('/api/endpoints/export?secrets=include'))).toContain('hunter2');
    expect(await change(node, 'update', { id: 'x', shadow: {} })).toMatchObject({ status: 400 });
  });

  test('who does not know how clients are to be checked lets nobody in, and tells why', async () => {
    const unknown = { authType: 'retina', secret: 'hunter2', users: undefined };
    const written = await fromTheFuture({ id: 'y', enableAuth: true, authConfig: [unknown] });
    await store.commit([{ kind: 'put', endpoint: written }], {}, META);
    const state = async () => {
      const { data } = (await node.api('GET', '/api/endpoints/status')).body as {
        data: { id: string; state: string; lastError: string }[];
      };
      return data.find(({ id }) => id === 'y');
    };
    await until('it was tried', async () => (await state())?.state === 'failed', 10_000);
    expect((await state())!.lastError).toContain('authType retina is not known to this version');
    await expect(listens(written.port)).rejects.toThrow();
    expect(JSON.stringify(await read('/api/endpoints/list'))).not.toContain('hunter2');
    // It can still be changed, and so can others.
    expect(await change(node, 'remove', { id: 'y' })).toMatchObject({ status: 200 });
  });

  test('a newer node is one of the cluster, whatever more it says', async () => {
    const stranger = await connect({ servers: cluster.nats.urls });
    const facts = { name: 'newer', incarnation: 'i-1', address: '127.0.0.99', adminPort: 1, version: '9.0.0', upSince: Date.now() };
    const more = { revision: 0, status: 'splendid', storeOk: true, failed: [], cores: 128 };
    const seen = async () => (await statesOf(node)).find(({ name }) => name === 'newer');
    await until('it is seen', async () => {
      stranger.publish('fluxmq.internal.heartbeat', JSON.stringify({ ...facts, ...more }));
      return (await seen())?.state === 'up';
    });
    expect(await seen()).toMatchObject({ version: '9.0.0', status: 'degraded' });
    stranger.publish('fluxmq.internal.bye', JSON.stringify({ ...facts, ...more }));
    await until('it is gone', async () => (await seen())?.state === 'down');
    await stranger.close();
  });
});
