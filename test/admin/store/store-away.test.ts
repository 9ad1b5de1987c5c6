/** The built broker on a database that hangs, is killed and comes back: clients stay, changes are refused in time, and everything is in step afterwards. */

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DATABASES, openOn } from '../../contract/databases.ts';
import { META, remove } from '../../contract/store-changes.ts';
import { type ApiAnswer, type Broker, startBroker } from '../../kit/broker.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { sectionFor, storeSection } from '../../kit/databases/store-section.ts';
import { freePort } from '../../kit/free-port.ts';
import { launch } from '../../kit/mosquitto.ts';
import { until, within } from '../../kit/until.ts';

const HOST = '127.0.0.1';
const INTERVAL_MS = 1_000;
/** A change is refused within 2 s; the rest is for a busy machine. */
const REFUSED_MS = 3_500;

interface Health {
  status: string;
  reasons?: string[];
  store: { ok: boolean; reason: string | null; refused: string[] };
}

/** A start that is expected to end by itself. */
async function startInVain(dir: string): Promise<{ code: number | null; output: string }> {
  const main = resolve(import.meta.dirname, '../../../dist/main.js');
  const child = launch(process.execPath, [main, 'start', '--config', join(dir, 'config.yaml')], { cwd: dir });
  let output = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code] = (await within('end of the start', 25_000, once(child, 'close'))) as [number | null];
  return { code, output };
}

/**
 * Beyond the deadlines of the starts of brokers and databases that a test waits for, milliseconds: each of them says what it waits for, and
 * on a busy machine they add up.
 */
const TEST_MS = 90_000;

describe.each(DATABASES)('a broker on $storeType', { timeout: TEST_MS }, (kind) => {
  const { storeType } = kind;
  let server: DatabaseServer;
  let section: Record<string, unknown>;
  const brokers: Broker[] = [];
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    server = await kind.start();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    server.resume();
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    for (const broker of brokers.splice(0)) await broker.stop();
  });

  const start = async (options: Parameters<typeof startBroker>[0] = {}) => {
    const config = { store: section, cluster: { sync: { interval: INTERVAL_MS } } };
    const broker = await startBroker({ config, endpoints: [], ...options });
    brokers.push(broker);
    return broker;
  };
  const endpoint = async (more: Record<string, unknown> = {}) => ({ host: HOST, port: await freePort(), enableAuth: false, ...more });
  const change = (broker: Broker, path: string, body: unknown) => broker.api('POST', `/api/endpoints/${path}`, body);
  const health = async (broker: Broker) => ((await broker.api('GET', '/api/system/health')).body as { data: Health }).data;
  const echoes = async (port: number) => {
    const client = await mqtt.connectAsync(`mqtt://${HOST}:${port}`, { reconnectPeriod: 0, connectTimeout: 5_000 });
    try {
      // MQTT.js leaves a PUBLISH with QoS 1 unanswered when the connection ends and is not made again.
      const closed = new Promise<never>((_resolve, reject) => client.once('close', () => reject(new Error('the connection was closed'))));
      const heard = new Promise<string>((resolve) => client.once('message', (_topic, payload) => resolve(payload.toString())));
      const echo = async () => {
        await client.subscribeAsync('a', { qos: 1 });
        await client.publishAsync('a', 'hello', { qos: 1 });
        return (await heard) === 'hello';
      };
      return await Promise.race([echo(), closed]);
    } finally {
      await client.endAsync(true);
    }
  };
  const isListening = (port: number) => echoes(port).catch(() => false);
  const refused = async (request: Promise<ApiAnswer>) => {
    const startedAt = performance.now();
    const { status, body } = await request;
    expect({ status, body }).toMatchObject({ status: 503, body: { error: { kind: 'unavailable' } } });
    expect(performance.now() - startedAt).toBeLessThan(REFUSED_MS);
  };

  test('continues to work while the database hangs, refuses changes without doing half of one, and is well again by itself', async () => {
    section = await storeSection(server, storeType);
    const broker = await start();
    const kept = await endpoint({ id: 'kept' });
    expect((await change(broker, 'add', kept)).status).toBe(200);
    server.pause();
    const [wanted, moved] = [await endpoint({ id: 'wanted' }), await freePort()];
    await Promise.all([refused(change(broker, 'add', wanted)), refused(change(broker, 'update', { id: 'kept', newPort: moved }))]);
    expect([await isListening(wanted.port), await isListening(moved), await echoes(kept.port)]).toEqual([false, false, true]);
    await refused(change(broker, 'remove', { id: 'kept' }));
    expect((await broker.api('GET', '/api/endpoints/list')).body).toMatchObject({ data: { total: 1, activePorts: [kept.port] } });
    expect((await broker.api('GET', '/api/endpoints/get?id=kept')).status).toBe(200);
    expect((await broker.api('GET', '/api/endpoints/history')).status).toBe(503);
    expect(await health(broker)).toMatchObject({ status: 'degraded', store: { ok: false, refused: ['changes', 'history'] } });
    expect((await broker.api('GET', '/health')).body).toMatchObject({
      data: { status: 'degraded', reasons: ['the store is away: changes and history are refused'] },
    });
    server.resume();
    await until('it is well', async () => (await health(broker)).status === 'ok', 10_000);
    expect((await change(broker, 'update', { id: 'kept', newPort: moved })).status).toBe(200);
    expect(await echoes(moved)).toBe(true);
  });

  test('starts with the last known configuration while the database is away, and follows it when it is back', async () => {
    const database = await server.createDatabase();
    section = sectionFor(server, storeType, database);
    const first = await start();
    const kept = await endpoint({ id: 'kept' });
    await change(first, 'add', kept);
    await change(first, 'add', await endpoint({ id: 'off', enabled: false }));
    await first.stop();
    await server.kill();
    cleanups.push(() => server.start().catch(() => {}));
    const broker = await start({ dir: first.dir });
    expect(await echoes(kept.port)).toBe(true);
    const { status, store } = await health(broker);
    expect([status, store.ok]).toEqual(['degraded', false]);
    expect(store.reason).toContain('the configuration of 20');
    await refused(change(broker, 'remove', { id: 'kept' }));
    cleanups.pop();
    await server.start();
    await until('it is well', async () => (await health(broker)).status === 'ok', 15_000);
    // As another node does it: its own start, and its own listening on this machine, are not what is tested.
    const other = await openOn(kind, server, database);
    cleanups.push(() => other.close());
    await other.commit([remove('kept')], {}, META);
    await until('it follows', async () => !(await isListening(kept.port)), 10_000);
    expect((await broker.api('GET', '/api/endpoints/list')).body).toMatchObject({ data: { total: 1, activePorts: [] } });
  });

  test('does not start on a database that it has never seen and that is away', async () => {
    section = await storeSection(server, storeType);
    const first = await start();
    await first.stop();
    rmSync(join(first.dir, 'data'), { recursive: true });
    server.pause();
    const { code, output } = await startInVain(first.dir);
    expect(code).toBe(1);
    expect(output).toMatch(/fluxmq: (Postgres|MySQL) at 127.0.0.1:\d+/);
  });
});
