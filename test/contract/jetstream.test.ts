/**
 * The store suite on a JetStream bucket, and faults that only this store has: lost servers, interrupted writers, and concurrent writers.
 */

import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EndpointStore } from '../../src/storage/endpoint-store.ts';
import { openJetStreamStore } from '../../src/storage/jetstream/jetstream-store.ts';
import { refill } from '../../src/storage/refilling-store.ts';
import { type NatsServers, startNats } from '../kit/nats.ts';
import { until } from '../kit/until.ts';
import { META, put } from './store-changes.ts';
import { describeStore } from './store-suite.ts';

const STREAM = 'KV_ENDPOINT_CONFIG';
let nats: NatsServers;
beforeAll(async () => {
  nats = await startNats();
}, 30_000);
afterAll(() => nats.stop());

function settings(servers: NatsServers) {
  const addresses = servers.urls.map((url) => url.slice('nats://'.length));
  const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  return { place: { kind: 'addresses' as const, addresses }, credentials };
}

const open = (storage: 'file' | 'memory' = 'file', servers = nats) => openJetStreamStore(settings(servers), 'test', storage, 20_000);

async function empty(): Promise<void> {
  const connection = await connect({ servers: nats.urls });
  await (await connection.jetstreamManager()).streams.delete(STREAM).catch(() => {});
  await connection.close();
}

for (const storage of ['file', 'memory'] as const) {
  describeStore(
    `JETSTREAM ${storage}`,
    async () => {
      await empty();
      const store = await open(storage);
      return storage === 'file' ? store : refill(store, 'test');
    },
    async () => {},
  );
}

describe('JETSTREAM', () => {
  async function withStores(count: number, work: (...stores: EndpointStore[]) => Promise<void>): Promise<void> {
    await empty();
    const stores = await Promise.all(Array.from({ length: count }, () => open()));
    try {
      await work(...stores);
    } finally {
      for (const store of stores) await store.close();
    }
  }

  test('replays many revisions from a snapshot, also for a first read', async () => {
    await withStores(2, async (writer, reader) => {
      for (let n = 1; n <= 200; n++) await writer!.commit([put(1000 + (n % 7), { maxConnectionSize: n })], {}, META);
      const content = await writer!.load();
      expect(content.revision).toBe(200);
      expect(await reader!.load()).toEqual(content);
      for (const revision of [1, 63, 64, 65, 128, 129, 199]) {
        const { endpoints } = await reader!.at(revision);
        expect([revision, Math.max(...endpoints.map(({ endpoint }) => endpoint.maxConnectionSize))]).toEqual([revision, revision]);
      }
      const rows = await reader!.history({ limit: 150, port: 1003 });
      expect(rows.map(({ revision }) => revision)).toEqual(Array.from({ length: 29 }, (_, index) => 199 - 7 * index));
    });
  });

  test('two nodes that write at once lose nothing and number without a gap', async () => {
    await withStores(2, async (a, b) => {
      const work = [a!, b!].flatMap((store, node) =>
        Array.from({ length: 25 }, (_, n) => store.commit([put(2000 + node * 100 + n)], {}, META)),
      );
      const revisions = await Promise.all(work);
      expect(revisions.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
      expect(await a!.load()).toEqual(await b!.load());
      expect((await b!.load()).endpoints).toHaveLength(50);
    });
  });

  test('stores 500 endpoints as one revision, although they exceed one message', async () => {
    await withStores(2, async (writer, reader) => {
      const noise = () =>
        Array.from({ length: 60 }, () => ({ username: Math.random().toString(36), password: Math.random().toString(36) }));
      const changes = Array.from({ length: 500 }, (_, n) => put(3000 + n, { authConfig: { users: noise() } }));
      expect(await writer!.commit(changes, {}, META)).toBe(1);
      expect(await writer!.commit([put(9000)], {}, META)).toBe(2);
      expect((await reader!.load()).endpoints).toHaveLength(501);
      expect(await reader!.history({ limit: 1, before: 2 })).toHaveLength(500);
    });
  });
});

/** Each has servers of its own, and waits most of the time. */
describe('JETSTREAM on one server that fails', () => {
  test.concurrent('reports within two seconds that the store is away, and recovers by itself with all content', async () => {
    const servers = await startNats();
    const store = await open('file', servers);
    try {
      await store.commit([put(1)], {}, META);
      await servers.servers[0]!.kill();
      for (const work of [() => store.load(), () => store.commit([put(2)], {}, META), () => store.history({ limit: 1 })]) {
        const began = performance.now();
        await expect(work()).rejects.toMatchObject({ kind: 'unavailable' });
        expect(performance.now() - began).toBeLessThan(2_500);
      }
      await servers.servers[0]!.start();
      await until(
        'it is back',
        () =>
          store.load().then(
            () => true,
            () => false,
          ),
        15_000,
      );
      expect(await store.commit([put(3)], {}, META)).toBe(2);
      expect((await store.load()).endpoints).toHaveLength(2);
    } finally {
      await store.close();
      await servers.stop();
    }
  }, 60_000);

  test.concurrent('reports the real outcome of a write that the server delays, which never arrives later', async () => {
    const servers = await startNats();
    const store = await open('file', servers);
    try {
      await store.commit([put(1)], {}, META);
      for (const [round, pauseMs] of [1_700, 3_500, 5_000].entries()) {
        // A commit reads first and then writes. In each round the server freezes at another point of the commit.
        const commit = store.commit([put(100 + round)], {}, { ...META, requestId: `late-${round}` });
        await new Promise((resolve) => setTimeout(resolve, 2 * round));
        servers.servers[0]!.pause();
        setTimeout(() => servers.servers[0]!.resume(), pauseMs);
        const revision = await commit.catch((error: { kind: string; data: { outcome?: string } | null }) => {
          expect(error).toMatchObject({ kind: 'unavailable' });
          expect(error.data?.outcome).not.toBe('unknown');
          return null;
        });
        const rowsOf = () => store.history({ limit: 50 }).then((rows) => rows.filter(({ requestId }) => requestId === `late-${round}`));
        const rows = await until('it is back', () => rowsOf().catch(() => null), 15_000);
        expect(rows.map((row) => row.revision)).toEqual(revision === null ? [] : [revision]);
        // A delayed write would have arrived by now.
        const next = await until('a commit', () => store.commit([put(200 + round)], {}, META).catch(() => null), 15_000);
        expect(await until('the rows', () => rowsOf().catch(() => null), 15_000)).toHaveLength(rows.length);
        expect((await until('the content', () => store.load().catch(() => null), 15_000)).revision).toBe(next);
      }
    } finally {
      await store.close();
      await servers.stop();
    }
  }, 60_000);

  test.concurrent('a node that knows the content puts back what the servers lost from their memory, also before a change', async () => {
    const servers = await startNats();
    const [a, b] = await Promise.all(['a', 'b'].map(async (name) => refill(await open('memory', servers), name)));
    try {
      await a!.commit([put(1), put(2)], {}, META);
      await b!.load();
      await b!.commit([put(3)], {}, META);
      await a!.load();
      await servers.servers[0]!.kill();
      await servers.servers[0]!.start();
      const added = until('it is back', () => b!.commit([put(4)], {}, META).catch(() => null), 25_000);
      const loaded = until('it is back', () => a!.load().catch(() => null), 25_000);
      expect((await loaded).endpoints.length).toBeGreaterThan(2);
      expect(await added).toBe(2);
      const all = await a!.load();
      expect(all.endpoints.map(({ endpoint }) => endpoint.port).sort()).toEqual([1, 2, 3, 4]);
      expect(await b!.load()).toEqual(all);
      expect((await a!.history({ limit: 10 })).map(({ action }) => action)).toEqual(['add', 'restore', 'restore', 'restore']);
    } finally {
      await a!.close();
      await b!.close();
      await servers.stop();
    }
  }, 60_000);
});

/** One after the other: a dozen servers on two cores elect so slowly that writers give up. */
describe('JETSTREAM on three servers', () => {
  test('a bucket with one copy gets three where there are three servers', async () => {
    const servers = await startNats({ size: 3 });
    try {
      const connection = await connect({ servers: servers.urls });
      await until(
        'a bucket',
        () =>
          connection
            .jetstream()
            .views.kv('ENDPOINT_CONFIG', { replicas: 1 })
            .catch(() => null),
        30_000,
      );
      const store = await open('file', servers);
      const commit = () =>
        store.commit([put(1)], {}, META).then(
          () => true,
          () => false,
        );
      // While the two others join, the three servers may have no leader.
      await until('a commit', commit, 20_000);
      const manager = await connection.jetstreamManager();
      await until('three copies', async () => (await manager.streams.info(STREAM)).config.num_replicas === 3, 30_000, 200);
      expect((await store.load()).endpoints).toHaveLength(1);
      await store.close();
      await connection.close();
    } finally {
      await servers.stop();
    }
  }, 60_000);

  test.each(['file', 'memory'] as const)(
    'three that write at once to three servers lose nothing, and number without a gap: %s',
    async (storage) => {
      const servers = await startNats({ size: 3 });
      // Each store connects to a server of its own, although one of the servers leads.
      const stores = await Promise.all(servers.urls.map((url) => open(storage, { ...servers, urls: [url] })));
      try {
        const work = stores.flatMap((store, node) =>
          Array.from({ length: 20 }, (_, n) => store.commit([put(2000 + node * 100 + n)], {}, META)),
        );
        const revisions = await Promise.all(work);
        expect(revisions.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
        const contents = await Promise.all(stores.map((store) => store.load()));
        for (const content of contents) expect(content).toEqual(contents[0]);
        expect(contents[0]!.endpoints).toHaveLength(60);
        const rows = await stores[0]!.history({ limit: 100 });
        expect(rows.map(({ revision }) => revision)).toEqual(Array.from({ length: 60 }, (_, index) => 60 - index));
      } finally {
        for (const store of stores) await store.close();
        await servers.stop();
      }
    },
    60_000,
  );

  test('keeps each answered commit once when one of three servers is gone', async () => {
    const servers = await startNats({ size: 3 });
    const store = await open('file', servers);
    try {
      await until(
        'a leader',
        () =>
          store.load().then(
            () => true,
            () => false,
          ),
        20_000,
      );
      const answered: number[] = [];
      const writing = (async () => {
        for (let n = 0; n < 60; n++) {
          await store.commit([put(4000 + n)], {}, { ...META, requestId: `r${n}` }).then(
            (revision) => answered.push(revision),
            () => {},
          );
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })();
      await servers.servers[1]!.kill();
      await writing;
      await until(
        'it is back',
        () =>
          store.load().then(
            () => true,
            () => false,
          ),
        20_000,
      );
      const rows = await store.history({ limit: 1000 });
      const revisions = rows.map(({ revision }) => revision);
      expect(revisions).toEqual(Array.from({ length: revisions.length }, (_, index) => revisions.length - index));
      expect(new Set(rows.map(({ requestId }) => requestId)).size).toBe(rows.length);
      for (const revision of answered) expect(revisions).toContain(revision);
      expect(answered.length).toBeGreaterThan(10);
    } finally {
      await store.close();
      await servers.stop();
    }
  }, 90_000);
});
