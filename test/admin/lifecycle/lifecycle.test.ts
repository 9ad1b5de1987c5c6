/** Endpoints of the built broker: changed under traffic, worker threads that die under it, and the end with many clients. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { until } from '../../kit/until.ts';

const HOST = '127.0.0.1';
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function device(url: string, options: mqtt.IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5_000, ...options }, false);
  client.on('error', () => {});
  cleanups.push(() => client.end(true));
  return client;
}

interface Status {
  state: string;
  connections: number;
  restarts: number;
  workers: number;
}

interface Thread {
  name: string;
  role: string;
  endpoints: string[];
}

async function read<T>(admin: string, path: string): Promise<T> {
  const answer = await fetch(admin + path, { signal: AbortSignal.timeout(10_000) });
  return ((await answer.json()) as { data: T }).data;
}

/** Publishes numbers without a pause and tells which of them the subscriber has not got. */
async function stream(publisher: MqttClient, subscriber: MqttClient, topic: string): Promise<() => Promise<number[]>> {
  const got = new Set<number>();
  subscriber.on('message', (name, payload) => {
    if (name === topic) got.add(Number(payload.toString()));
  });
  await subscriber.subscribeAsync(topic, { qos: 1 });
  let sent = 0;
  let isDone = false;
  const running = (async () => {
    while (!isDone) await publisher.publishAsync(topic, String(sent++), { qos: 1 });
  })();
  return async () => {
    await until('a good many are sent', () => sent > 50);
    isDone = true;
    await running;
    const missing = () => Array.from({ length: sent }, (_, n) => n).filter((n) => !got.has(n));
    await until('all messages', () => missing().length === 0, 5_000).catch(() => {});
    return missing();
  };
}

describe('a change', () => {
  const shared = { enableAuth: false, exclusivePool: false };
  /** Each test has endpoints of its own. */
  const held = useBroker(() => ({ endpoints: [{ enableAuth: false }, shared, { enableAuth: false }, shared] }));

  test('of one endpoint disturbs no client of another one, and its own clients stay on the old listener', async () => {
    const { broker } = held;
    const [port, other] = broker.ports as [number, number];
    const finish = await stream(await device(`mqtt://${HOST}:${other}`), await device(`mqtt://${HOST}:${other}`), 'a/b');
    const own = await device(`mqtt://${HOST}:${port}`);
    const moved = await freePort();
    for (const change of [
      { newPort: moved },
      { port: moved, useWebsocket: true },
      { port: moved, newPort: port },
      { useWebsocket: false },
    ]) {
      const answer = await broker.api('POST', '/api/endpoints/update', { port, ...change });
      expect([answer.status, answer.body]).toMatchObject([200, { data: { effect: 'rebind', nodes: [{ state: 'applied' }] } }]);
      expect(own.connected).toBe(true);
    }
    await own.publishAsync('still', 'here', { qos: 1 });
    await device(`mqtt://${HOST}:${port}`);
    expect(await finish()).toEqual([]);
    const answer = await broker.api('POST', '/api/endpoints/remove', { port });
    expect(answer.status).toBe(200);
    await until('disconnected', () => !own.connected);
  });

  test('of the number of workers keeps every client', async () => {
    const { broker } = held;
    const port = broker.ports[2]!;
    const clients = await Promise.all(Array.from({ length: 20 }, () => device(`mqtt://${HOST}:${port}`)));
    const finish = await stream(clients[0]!, clients[1]!, 'a/b');
    for (const workerGroupSize of [3, 1, 2]) {
      const answer = await broker.api('POST', '/api/endpoints/update', { port, serverOptions: { workerGroupSize } });
      expect(answer.status).toBe(200);
      const [status] = await read<Status[]>(broker.admin, `/api/endpoints/status?port=${port}`);
      expect(status).toMatchObject({ state: 'running', workers: workerGroupSize });
      clients.push(await device(`mqtt://${HOST}:${port}`));
    }
    expect(await finish()).toEqual([]);
    expect(clients.every((client) => client.connected)).toBe(true);
  });

  test('sends MQTT 5 clients the reason when their endpoint is removed', async () => {
    const { broker } = held;
    const port = broker.ports[3]!;
    const client = await device(`mqtt://${HOST}:${port}`, { protocolVersion: 5 });
    const reason = new Promise((resolve) => client.on('disconnect', (packet) => resolve(packet.reasonCode)));
    await broker.api('POST', '/api/endpoints/remove', { port });
    expect(await reason).toBe(0x98);
  });
});

describe('a worker thread that dies', () => {
  interface Node {
    admin: string;
    child: ChildProcess;
    tcp: number;
    ws: number;
    crash(name: string, how: 'throw' | 'exit'): void;
    threads(): Promise<Thread[]>;
  }

  /** One node for all these tests: each counts the restarts from where it finds them. */
  let node: Node;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    node = await startCrashable();
  });
  afterAll(() => stop());

  async function startCrashable(): Promise<Node> {
    const dir = mkdtempSync(join(tmpdir(), 'fluxmq-crash-'));
    const [tcp, ws] = [await freePort(), await freePort()];
    const endpoint = { host: HOST, enableAuth: false };
    const endpoints = [
      { ...endpoint, port: tcp },
      { ...endpoint, port: ws, useWebsocket: true },
    ];
    const store = { storeType: 'LOCAL', local: { dataPath: join(dir, 'data') } };
    writeFileSync(join(dir, 'config.yaml'), JSON.stringify({ http: { port: 0 }, store, endpoints, log: { file: join(dir, 'x.log') } }));
    const script = new URL('./crashable-node.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, ['--no-warnings', script, join(dir, 'config.yaml')], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    stop = async () => {
      child.kill('SIGTERM');
      const [code, signal] = await ended;
      rmSync(dir, { recursive: true, force: true });
      expect([code, signal]).toEqual([0, null]);
    };
    const [line] = await once(child.stdout!, 'data');
    const admin = `http://${HOST}:${String(line).trim().split(' ')[1]}`;
    return {
      admin,
      child,
      tcp,
      ws,
      crash: (name, how) => void child.stdin!.write(`crash ${name} ${how}\n`),
      threads: async () => (await read<{ threads: Thread[] }>(admin, '/api/system/resources')).threads,
    };
  }

  test.each([
    ['tcp', 'throw'],
    ['tcp', 'exit'],
    ['ws', 'throw'],
    ['ws', 'exit'],
  ] as const)('under %s by %s is replaced; clients of others lose nothing, the process lives', async (transport, how) => {
    const urls = { tcp: `mqtt://${HOST}:${node.tcp}`, ws: `ws://${HOST}:${node.ws}/mqtt` };
    const other = transport === 'tcp' ? urls.ws : urls.tcp;
    const victims = [await device(urls[transport]), await device(urls[transport])];
    const finish = await stream(await device(other), await device(other), 'x');
    const id = `mqtt-${node[transport]}`;
    const statusOf = async () => (await read<Status[]>(node.admin, `/api/endpoints/status?port=${node[transport]}`))[0]!;
    const { restarts } = await statusOf();
    const victim = (await node.threads()).find((thread) => thread.endpoints.includes(id))!;
    node.crash(victim.name, how);
    await until('the victims are gone', () => victims.every((client) => !client.connected));
    const crashedAt = performance.now();
    await until('it accepts again', async () => (await device(urls[transport]).catch(() => null)) !== null, 3_000);
    expect(performance.now() - crashedAt).toBeLessThan(2_000);
    expect(await finish()).toEqual([]);
    expect(await statusOf()).toMatchObject({ state: 'running', restarts: restarts + 1, workers: 1 });
    // Across the new worker too: it knows its peers.
    const finishNew = await stream(await device(urls[transport]), await device(other), 'y');
    expect(await finishNew()).toEqual([]);
  });

  test('as session worker is replaced, and endpoints still serve', async () => {
    const url = `mqtt://${HOST}:${node.tcp}`;
    const finish = await stream(await device(url), await device(url), 'x');
    const health = () => read<{ status: string; workerRestarts: number }>(node.admin, '/api/system/health');
    const { workerRestarts } = await health();
    const sessionWorker = async () => (await node.threads()).find(({ role }) => role === 'session')!.name;
    const former = await sessionWorker();
    node.crash(former, 'throw');
    await until('it is replaced', async () => (await health()).workerRestarts === workerRestarts + 1);
    expect((await health()).status).toBe('ok');
    expect(await finish()).toEqual([]);
    const late = await device(url, { protocolVersion: 5, clean: false, clientId: 'late', properties: { sessionExpiryInterval: 60 } });
    expect(late.connected).toBe(true);
    expect(await sessionWorker()).not.toBe(former);
  });
});

test('ends with 0 within the shutdown time while many clients are connected', async () => {
  const broker = await startBroker({ endpoints: [{ enableAuth: false, maxConnectionSize: 5_000, maxConnectionPerSecond: 100_000 }] });
  const [port] = broker.ports as [number];
  for (let n = 0; n < 10; n++) await Promise.all(Array.from({ length: 100 }, () => device(`mqtt://${HOST}:${port}`)));
  const startedAt = performance.now();
  expect(await broker.kill('SIGTERM')).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect(await broker.log()).toContain('stopped in order');
});
