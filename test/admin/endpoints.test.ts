/** Endpoints over HTTP against the real broker: every route, its statuses, revisions, conditions, history. */

import { createServer } from 'node:net';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PublicChange } from '../../src/answers/changes.ts';
import { type ApiAnswer, type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';

interface Envelope<T> {
  code: number;
  message: string;
  data: T;
  error?: { kind: string; issues: { path: string; message: string }[] };
}

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ endpoints: [{ enableAuth: false, isDefault: true }] });
});
afterAll(async () => {
  await broker.stop();
});

async function call<T = unknown>(
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Omit<ApiAnswer, 'body'> & { body: Envelope<T> }> {
  const answer = await broker.api(method, path, body, headers);
  const envelope = answer.body as Envelope<T>;
  expect(envelope.code, `${method} ${path}: ${JSON.stringify(envelope)}`).toBe(answer.status);
  return { ...answer, body: envelope };
}

async function add(extra: Record<string, unknown> = {}): Promise<{ port: number; revision: number }> {
  const port = await freePort();
  // A thread of its own for each endpoint would take most of this file's time.
  const config = { port, host: '127.0.0.1', enableAuth: false, exclusivePool: false, ...extra };
  const { status, body } = await call<PublicChange>('POST', '/api/endpoints/add', config);
  expect(status, JSON.stringify(body)).toBe(200);
  return { port, revision: body.data.revision };
}

async function canConnect(port: number): Promise<boolean> {
  try {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, connectTimeout: 3000 });
    await client.endAsync();
    return true;
  } catch {
    return false;
  }
}

describe('add', () => {
  test('answers with the whole endpoint, its revision and each node, and is listening by then', async () => {
    const port = await freePort();
    const { status, body, headers } = await call<PublicChange>('POST', '/api/endpoints/add', { port, enableAuth: false });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      message: 'Success',
      data: { endpoint: { id: `mqtt-${port}`, port, host: '0.0.0.0', messageMaxSize: 4194304 } },
    });
    expect(body.data.nodes).toEqual([{ node: expect.any(String), state: 'applied', reason: null }]);
    expect(headers.get('etag')).toBe(`"${body.data.revision}"`);
    expect(await canConnect(port)).toBe(true);
  });

  test('/endpoints/add does the same', async () => {
    const port = await freePort();
    expect((await call('POST', '/endpoints/add', { port, host: '127.0.0.1' })).status).toBe(200);
    expect((await call('GET', `/endpoints/get?port=${port}`)).status).toBe(200);
  });

  test('revisions grow by one and are never reused', async () => {
    const first = await add();
    await call('POST', '/api/endpoints/remove', { port: first.port });
    const second = await add();
    expect(second.revision).toBe(first.revision + 2);
  });

  test('a port that is an endpoint already is 409', async () => {
    const { port } = await add();
    const { status, body } = await call('POST', '/api/endpoints/add', { port, host: '127.0.0.1' });
    expect([status, body.error?.kind]).toEqual([409, 'exists']);
  });

  test('an id that is taken is 409', async () => {
    const { port } = await add();
    const { status, body } = await call('POST', '/api/endpoints/add', { port: await freePort(), id: `mqtt-${port}` });
    expect([status, body.error?.kind]).toEqual([409, 'exists']);
  });

  test('a port of another process is 409 in words to grep for, and nothing is stored', async () => {
    const port = await freePort();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    try {
      const { status, body } = await call('POST', '/api/endpoints/add', { port, host: '127.0.0.1' });
      expect([status, body.error?.kind]).toEqual([409, 'port-in-use']);
      expect(body.message).toContain(`Port ${port} is already in use`);
      expect((await call('GET', `/api/endpoints/get?port=${port}`)).status).toBe(404);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
    expect((await call('POST', '/api/endpoints/add', { port, host: '127.0.0.1' })).status).toBe(200);
  });

  test('an address of another machine is 422, and nothing is stored', async () => {
    const port = await freePort();
    const { status, body } = await call('POST', '/api/endpoints/add', { port, host: '192.0.2.1' });
    expect([status, body.error?.kind]).toEqual([422, 'unprocessable']);
    expect(body.message).toContain(`Failed to bind to address 192.0.2.1:${port}`);
    expect((await call('GET', `/api/endpoints/get?port=${port}`)).status).toBe(404);
  });

  test('two adds of one port at once: one wins', async () => {
    const port = await freePort();
    const answers = await Promise.all([1, 2].map(() => call('POST', '/api/endpoints/add', { port, host: '127.0.0.1' })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  });
});

describe('update, enable, disable, remove', () => {
  test('merges the given keys, says the effect, and null is the default', async () => {
    const { port } = await add({ maxConnectionSize: 7 });
    const live = await call<PublicChange>('POST', '/api/endpoints/update', { port, maxConnectionSize: 9, wiretap: true });
    expect(live.body.data).toMatchObject({ effect: 'live', endpoint: { maxConnectionSize: 9, wiretap: true, enableAuth: false } });
    const back = await call<PublicChange>('POST', '/api/endpoints/update', { id: `mqtt-${port}`, maxConnectionSize: null });
    expect(back.body.data.endpoint['maxConnectionSize']).toBe(1000);
  });

  test('newPort moves it', async () => {
    const { port } = await add();
    const newPort = await freePort();
    const { body } = await call<PublicChange>('POST', '/api/endpoints/update', { port, newPort });
    expect(body.data).toMatchObject({ effect: 'rebind', endpoint: { id: `mqtt-${port}`, port: newPort } });
    expect([await canConnect(newPort), await canConnect(port)]).toEqual([true, false]);
  });

  test('one that does not exist is 404', async () => {
    const port = await freePort();
    for (const action of ['update', 'remove', 'enable', 'disable']) {
      const { status, body } = await call('POST', `/api/endpoints/${action}`, { port });
      expect([action, status, body.error?.kind]).toEqual([action, 404, 'not-found']);
    }
  });

  test('disabled: kept, not listening; enabled: listening again', async () => {
    const { port } = await add();
    expect((await call<PublicChange>('POST', '/api/endpoints/disable', { port })).body.data.endpoint['enabled']).toBe(false);
    expect(await canConnect(port)).toBe(false);
    expect((await call<{ activePorts: number[] }>('GET', '/api/endpoints/list')).body.data.activePorts).not.toContain(port);
    expect((await call('POST', '/api/endpoints/enable', { port })).status).toBe(200);
    expect(await canConnect(port)).toBe(true);
  });

  test('removed: neither listed nor listening', async () => {
    const { port } = await add();
    expect((await call('POST', '/api/endpoints/remove', { port, reason: 'test' })).status).toBe(200);
    expect((await call('GET', `/api/endpoints/get?port=${port}`)).status).toBe(404);
    expect(await canConnect(port)).toBe(false);
  });

  test('the default endpoint is not removed or disabled without force', async () => {
    const [port] = broker.ports;
    for (const action of ['remove', 'disable']) {
      const { status, body } = await call('POST', `/api/endpoints/${action}`, { port });
      expect([status, body.error?.kind]).toEqual([409, 'default-endpoint']);
    }
    expect(await canConnect(port!)).toBe(true);
  });
});

describe('ETag and If-Match', () => {
  test('the revision of a read is the condition of a write', async () => {
    const { port, revision } = await add();
    const read = await call('GET', `/api/endpoints/get?port=${port}`);
    expect(read.headers.get('etag')).toBe(`"${revision}"`);
    const etag = { 'if-match': read.headers.get('etag')! };
    const write = await call<PublicChange>('POST', '/api/endpoints/update', { port, maxConnectionSize: 5 }, etag);
    expect(write.status).toBe(200);
    const stale = await call<PublicChange>('POST', '/api/endpoints/update', { port, maxConnectionSize: 6 }, etag);
    expect([stale.status, stale.body.error?.kind]).toEqual([412, 'revision-mismatch']);
    expect(stale.body.data).toMatchObject({ endpoint: { port, maxConnectionSize: 5 }, revision: write.body.data.revision });
    expect((await call('POST', '/api/endpoints/remove', { port }, etag)).status).toBe(412);
    expect((await call('POST', '/api/endpoints/remove', { port }, { 'if-match': '"x"' })).status).toBe(400);
    expect((await call('POST', '/api/endpoints/remove', { port }, { 'if-match': '*' })).status).toBe(200);
  });

  test("the list's ETag moves with every change, a removal too", async () => {
    const { port } = await add();
    const tags = [(await call('GET', '/api/endpoints/list')).headers.get('etag')];
    await call('POST', '/api/endpoints/remove', { port });
    tags.push((await call('GET', '/api/endpoints/list')).headers.get('etag'));
    expect(tags[1]).not.toBe(tags[0]);
    expect((await broker.api('GET', '/api/endpoints/list', undefined, { 'if-none-match': tags[0]! })).status).toBe(200);
    expect((await broker.api('GET', '/api/endpoints/list', undefined, { 'if-none-match': tags[1]! })).status).toBe(304);
  });

  test('many updates of one revision at once: one wins, the others get 409 or 412', async () => {
    const { port, revision } = await add();
    const writes = Array.from({ length: 10 }, (_value, index) =>
      call('POST', '/api/endpoints/update', { port, maxConnectionSize: 10 + index }, { 'if-match': `"${revision}"` }),
    );
    const statuses = (await Promise.all(writes)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409 || status === 412)).toHaveLength(9);
  });
});

describe('reads', () => {
  test('list is keyed by port', async () => {
    const { port } = await add();
    const { body } = await call<{ endpoints: Record<string, { port: number }>; activePorts: number[]; total: number }>(
      'GET',
      '/api/endpoints/list',
    );
    expect(body.data.endpoints[String(port)]?.port).toBe(port);
    expect(body.data.activePorts).toContain(port);
    expect(body.data.total).toBe(Object.keys(body.data.endpoints).length);
  });

  test('status tells state, workers and revisions', async () => {
    const { port, revision } = await add({ serverOptions: { workerGroupSize: 2 } });
    const { body } = await call<unknown[]>('GET', `/api/endpoints/status?port=${port}`);
    expect(body.data).toEqual([
      expect.objectContaining({
        port,
        state: 'running',
        workers: 2,
        runningRevision: revision,
        desiredRevision: revision,
        lastError: null,
        connections: 0,
      }),
    ]);
    expect((await call<unknown[]>('GET', '/api/endpoints/status')).body.data.length).toBeGreaterThan(1);
    expect((await call('GET', `/api/endpoints/status?port=${await freePort()}`)).status).toBe(404);
  });

  test('metrics count a client, as JSON and for Prometheus', async () => {
    const { port } = await add();
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
    try {
      await client.subscribeAsync('a/b');
      const { body } = await call<{ port: number; metrics: Record<string, Record<string, number>> }>(
        'GET',
        `/api/endpoints/metrics?port=${port}`,
      );
      expect(body.data).toMatchObject({
        port,
        endpoint: `mqtt-${port}`,
        metrics: { connections: { current: 1, total: 1 }, subscriptions: { current: 1 } },
      });
      const text = await broker.api('GET', `/endpoints/metrics?port=${port}&format=prometheus`);
      expect(text.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(text.body).toMatch(new RegExp(`fluxmq_endpoint_connections_current\\{[^}]*port="${port}"[^}]*\\} 1`));
      expect((await call<unknown[]>('GET', '/api/endpoints/metrics')).body.data.length).toBeGreaterThan(1);
      expect((await broker.api('GET', '/public/metrics')).body).toContain(`port="${port}"`);
    } finally {
      await client.endAsync();
    }
  });

  test('check-port binds really', async () => {
    const { port } = await add();
    const taken = await call('GET', `/api/endpoints/check-port?port=${port}&host=127.0.0.1`);
    expect(taken.body.data).toMatchObject({ port, available: false, nodes: [{ available: false, reason: expect.any(String) }] });
    const free = await freePort();
    expect((await call('GET', `/api/endpoints/check-port?port=${free}&host=127.0.0.1`)).body.data).toMatchObject({
      port: free,
      available: true,
    });
  });

  test('health connects with MQTT, over TCP and WebSocket', async () => {
    for (const extra of [{}, { useWebsocket: true, path: '/ws' }, { enableAuth: true }]) {
      const { port } = await add(extra);
      const { status, body } = await call('GET', `/api/endpoints/health?port=${port}`);
      expect([status, body.data]).toEqual([200, [expect.objectContaining({ port, healthy: true })]]);
    }
    expect((await call('GET', `/api/endpoints/health?port=${await freePort()}`)).status).toBe(404);
  });

  test('health and resources of the node', async () => {
    expect((await call('GET', '/health')).body.data).toEqual({ status: 'ok', reasons: [] });
    expect((await call('GET', '/api/system/health')).body.data).toMatchObject({
      status: 'ok',
      store: { type: 'LOCAL', ok: true },
      endpoints: { failed: [] },
    });
    const { body } = await call<{ pid: number; threads: unknown[]; memory: { rssBytes: number } }>('GET', '/api/system/resources');
    expect(body.data.pid).toBe(broker.pid);
    expect(body.data.threads.length).toBeGreaterThan(1);
    expect(body.data.memory.rssBytes).toBeGreaterThan(1e7);
  });

  test('plan changes nothing and says what would happen', async () => {
    const { port, revision } = await add();
    const { body } = await call('POST', '/api/endpoints/plan', { action: 'update', port, useWebsocket: true, maxConnectionSize: 5 });
    expect(body.data).toMatchObject({
      changes: expect.arrayContaining([
        { path: 'useWebsocket', from: false, to: true, effect: 'rebind' },
        { path: 'maxConnectionSize', from: 1000, to: 5, effect: 'live' },
      ]),
      clientsAffected: 0,
    });
    expect((await call<PublicChange>('GET', `/api/endpoints/get?port=${port}`)).body.data.revision).toBe(revision);
  });

  test('validate-config lists every problem, and warnings', async () => {
    const bad = await call<{ valid: boolean; issues: { path: string }[] }>('POST', '/api/endpoints/validate-config', {
      port: 0,
      host: 'x',
      colour: 1,
    });
    expect([bad.status, bad.body.data.valid]).toEqual([200, false]);
    expect(bad.body.data.issues.map((issue) => issue.path).sort()).toEqual(['colour', 'host', 'port']);
    const good = await call<{ valid: boolean; warnings: string[] }>('POST', '/api/endpoints/validate-config', {
      port: 1884,
      serverOptions: { bossGroupSize: 2 },
    });
    expect(good.body.data).toMatchObject({ valid: true, issues: [], warnings: [expect.stringContaining('bossGroupSize')] });
  });

  test('history has who, why, and what changed, without secrets', async () => {
    const users = [{ username: 'u', password: 'hidden-secret' }];
    const { port } = await add({ enableAuth: true, authType: 'fixed', authConfig: { users } });
    const headers = { 'x-request-id': 'req-77', 'x-reason': 'more room' };
    await call('POST', '/api/endpoints/update', { port, maxConnectionSize: 12 }, headers);
    const answer = await call<Record<string, unknown>[]>('GET', `/api/endpoints/history?port=${port}`);
    expect(answer.body.data).toMatchObject([
      {
        action: 'update',
        port,
        actor: 'local',
        source: 'http',
        requestId: 'req-77',
        reason: 'more room',
        before: { maxConnectionSize: 1000 },
        after: { maxConnectionSize: 12 },
        diff: [{ path: 'maxConnectionSize', from: 1000, to: 12 }],
      },
      { action: 'add', before: null },
    ]);
    const newest = answer.body.data[0]?.['revision'] as number;
    const older = await call<unknown[]>('GET', `/api/endpoints/history?port=${port}&before=${newest}&limit=5`);
    expect(older.body.data).toHaveLength(1);
    const texts = [answer.body, (await call('GET', `/api/endpoints/get?port=${port}`)).body, await broker.log()];
    for (const text of texts) expect(JSON.stringify(text)).not.toContain('hidden-secret');
  });
});
