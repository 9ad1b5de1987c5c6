/** A service over a real nats-server: headers both ways, failures told and counted, strangers endured, an end in order. */

import { createConnection } from 'node:net';
import { connect, headers, type NatsConnection } from 'nats';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Answer, Bus, Incoming, Serving } from '../../../src/bus/bus.ts';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import { type NatsServers, startNats } from '../../kit/nats.ts';
import { quiet, until } from '../../kit/until.ts';
import { type Line, recordingLogger } from '../control/kit.ts';

const NOBODY = { user: null, password: null, token: null, credsFile: null, tls: null };

let servers: NatsServers;
let bus: Bus;
let lines: Line[];
let client: NatsConnection;
let serving: Serving;
let asked: Incoming[];
let answer: (request: Incoming) => Promise<Answer>;

/** @param host by which the bus reaches the server; 0.0.0.0 leads to it, too, and does not look like this machine */
async function start(host: string, config = ''): Promise<void> {
  servers = await startNats({ config });
  const { logger, lines: written } = recordingLogger();
  lines = written;
  const place = { kind: 'addresses' as const, addresses: servers.servers.map(({ port }) => `${host}:${port}`) };
  bus = openNatsBus({ place, credentials: NOBODY }, 'test', logger);
  asked = [];
  answer = async () => ({ body: '{}', headers: {}, failure: null });
  serving = bus.serve({
    name: 'svc',
    version: '1.2.3',
    description: 'd',
    metadata: { node: 'n' },
    prefix: 'svc.ops',
    endpoints: ['get', 'put'],
    handle: (request) => {
      asked.push(request);
      return answer(request);
    },
  });
  client = await connect({ servers: servers.urls });
  await until('it is served', () => client.request('svc.ops.get', '', { timeout: 1_000 }).catch(() => null), 10_000);
  asked.length = 0;
}

beforeEach(() => start('127.0.0.1', 'max_payload: 64KB'));
afterEach(async () => {
  await client.close();
  await bus.close();
  await servers.stop();
});

interface Stats {
  endpoints: { name: string; num_requests: number; data: { answered: number; failed: number; averageMs: number } }[];
}

test('bytes and headers come as they are, an answer goes with its own, and a failure is answered and counted', async () => {
  const named = headers();
  named.append('X-One', 'a');
  named.append('X-One', 'b');
  named.append('x-one', 'c');
  named.append('X-Two', 'größer €');
  answer = async () => ({ body: '{"a":"€"}', headers: { etag: '"7"' }, failure: { code: 412, message: 'two\r\nlines' } });
  const message = await client.request('svc.ops.put', new Uint8Array([0xff, 0]), { timeout: 5_000, headers: named });
  expect(message.string()).toBe('{"a":"€"}');
  expect([...message.headers!.keys()].sort()).toEqual(['Nats-Service-Error', 'Nats-Service-Error-Code', 'etag']);
  expect(message.headers!.get('Nats-Service-Error')).toBe('two lines');
  expect(message.headers!.get('Nats-Service-Error-Code')).toBe('412');
  const [request] = asked;
  expect([...request!.body]).toEqual([0xff, 0]);
  expect(Object.fromEntries(request!.headers)).toEqual({ 'x-one': 'a, b, c', 'x-two': 'größer €' });
  expect(request!.answerBytesMax).toBe(64 * 1024 - 8192);
  const { endpoints } = (await client.request('$SRV.STATS.svc', '', { timeout: 5_000 })).json<Stats>();
  expect(endpoints.map(({ name, data }) => [name, data.answered, data.failed])).toEqual([
    ['get', 1, 0],
    ['put', 1, 1],
  ]);
});

test('what no client would send, and an answer that cannot be sent, end nothing', async () => {
  const { port } = servers.servers[0]!;
  const stranger = createConnection({ host: '127.0.0.1', port });
  const head = 'NATS/1.0\r\nno colon\r\n: no name\r\nX\u0000: \u0001\r\n\r\n';
  stranger.write('CONNECT {"verbose":false,"headers":true,"lang":"x","version":"1"}\r\n');
  for (const block of [head, 'garbage', 'NATS/1.0 999 odd\r\n\r\n'])
    stranger.write(
      `HPUB svc.ops.get ${block.length} ${block.length}\r\n${block}\r\nHPUB svc.ops.put inbox ${block.length} ${block.length}\r\n${block}\r\n`,
    );
  stranger.write('PING\r\n');
  await until('the server has taken it', () => stranger.read() !== null);
  answer = async () => ({ body: 'x'.repeat(70_000), headers: {}, failure: null });
  await expect(client.request('svc.ops.get', '', { timeout: 500 })).rejects.toThrow('TIMEOUT');
  answer = () => Promise.reject(new Error('a fault'));
  await expect(client.request('svc.ops.get', '', { timeout: 500 })).rejects.toThrow('TIMEOUT');
  answer = async () => ({ body: 'fine', headers: {}, failure: null });
  expect((await client.request('svc.ops.get', '', { timeout: 5_000 })).string()).toBe('fine');
  const reasons = lines.filter(({ message }) => message.includes('could not be answered')).map(({ fields }) => String(fields['reason']));
  expect(reasons.some((reason) => reason.includes('MAX_PAYLOAD_EXCEEDED'))).toBe(true);
  expect(reasons.some((reason) => reason.includes('a fault'))).toBe(true);
  stranger.destroy();
});

test('it ends when what was begun is answered, at the latest in time, and takes nothing new', async () => {
  let release = () => {};
  const open = new Promise<void>((resolve) => {
    release = resolve;
  });
  answer = async () => {
    await open;
    return { body: 'late', headers: {}, failure: null };
  };
  const waiting = client.request('svc.ops.get', '', { timeout: 10_000 });
  await until('it was taken', () => asked.length === 1);
  const before = performance.now();
  await serving.close(100);
  expect(performance.now() - before).toBeGreaterThanOrEqual(95);
  await expect(client.request('svc.ops.get', '', { timeout: 1_000 })).rejects.toMatchObject({ code: '503' });
  let isClosed = false;
  const closing = serving.close(20_000).then(() => {
    isClosed = true;
  });
  await quiet(50, 'the end, before the request is answered', () => isClosed);
  release();
  await closing;
  expect(performance.now() - before).toBeLessThan(15_000);
  expect((await waiting).string()).toBe('late');
  await servers.servers[0]!.kill();
  await servers.servers[0]!.start();
  await until('the bus is back', () => bus.state.connected, 15_000);
  const again = await connect({ servers: servers.urls });
  await expect(again.request('svc.ops.get', '', { timeout: 1_000 })).rejects.toMatchObject({ code: '503' });
  await again.close();
}, 60_000);

test.each([
  ['127.0.0.1', false],
  ['0.0.0.0', true],
])('a server at %s that lets everybody in is warned about: %s', async (host, isWarned) => {
  await client.close();
  await bus.close();
  await servers.stop();
  await start(host);
  expect(lines.some(({ message }) => message.includes('NATS accepts every client'))).toBe(isWarned);
});
