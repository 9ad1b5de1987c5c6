/** The `http` authenticator against a real web service: rights, faults of the service, injection, limits, counters, no secret outside. */

import { createServer } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { type AuthServer, json, startAuthServer } from '../../kit/auth-server.ts';
import type { Version } from '../../kit/encode.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { patience } from '../../kit/load.ts';
import { RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const PASSWORD = 'pa55-never-shown';
const KEY = 'k3y-never-shown';
const quick = { maxConnectionPerSecond: 100_000, maxConnectionSize: 10_000 };

/** A service to which another one must not lead. */
const other = await startAuthServer((response) => response.end());
/** Answers by the user name. */
const service: AuthServer = await startAuthServer((response, { url, body }) => {
  const user = body === '' ? new URL(url, 'http://x').searchParams.get('u') : (JSON.parse(body) as { username: string | null }).username;
  switch (user) {
    case 'admin':
      return json(response, { result: 'allow', is_superuser: true });
    case 'rights':
      return json(response, {
        result: 'allow',
        acl: [
          { permission: 'allow', action: 'all', topic: 'closed/${clientid}/#' },
          { permission: 'deny', action: 'publish', topic: 'open/no' },
        ],
      });
    case 'short':
      return json(response, { result: 'allow', expireAt: Date.now() + 1_200 });
    case 'stranger':
      return json(response, { result: 'ignore' });
    case 'wrong':
      return json(response, {}, 403);
    case 'garbage':
      return void response.end('<html>Log in at the proxy</html>');
    case 'types':
      return json(response, { result: ['allow'], isSuperuser: 'yes', acl: 7 });
    case 'half':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"result":"allow"}');
      return void setTimeout(() => response.destroy(), 50);
    case 'large':
      return void response.end(`{"result":"allow","x":"${'x'.repeat(10 * 1024 * 1024)}"}`);
    case 'endless': {
      response.writeHead(200);
      const timer = setInterval(() => response.write('{"result":"allow"'), 20);
      return void response.on('close', () => clearInterval(timer));
    }
    case 'moved':
      return void response.writeHead(307, { location: `http://127.0.0.1:${other.port}/` }).end();
    case 'error':
      return json(response, { result: 'allow' }, 500);
    case 'slow':
      return void setTimeout(() => json(response, { result: 'allow' }), 10_000);
    default:
      return json(response, { result: 'allow' });
  }
});
const url = `http://127.0.0.1:${service.port}`;
const laterPort = await freePort();
const acl = {
  default: 'allow',
  rules: [{ permission: 'deny', subject: { type: 'all' }, action: 'pubsub', topic: 'closed/#' }],
};

const held = useBroker(() => ({
  config: { auth: [{ authType: 'http', url: `${url}/node/\${endpoint}`, body: { username: '${username}' }, timeout: 800 }] },
  endpoints: [
    // Several threads, and an authenticator behind the service.
    {
      ...quick,
      authConfig: [
        { authType: 'http', url: `${url}/a`, headers: { authorization: `Bearer ${KEY}` }, timeout: 800 },
        { authType: 'fixed', users: [{ username: 'stranger', password: PASSWORD }] },
      ],
      aclConfig: acl,
      serverOptions: { workerGroupSize: 2 },
    },
    // Values in the URL and in headers; decisions are kept.
    {
      ...quick,
      useWebsocket: true,
      authConfig: {
        authType: 'http',
        method: 'GET',
        url: `${url}/b/\${clientId}?u=\${username}`,
        headers: { 'x-user': '${username}' },
        cacheSeconds: 60,
      },
    },
    // The node's own.
    { ...quick, id: 'plain', sessionPersistence: true, aclConfig: acl },
    // A service that comes later.
    { ...quick, authType: 'http', authConfig: { url: `http://127.0.0.1:${laterPort}`, timeout: 500 } },
  ],
}));

afterAll(async () => {
  await service.close();
  await other.close();
});

async function code(
  endpoint: number,
  username: string | null,
  options: { version?: Version; transport?: TransportName; clientId?: string } = {},
) {
  const { version = 5, transport = endpoint === 1 ? 'ws' : 'tcp', clientId = uid('c') } = options;
  const client = await RawClient.open(transport, held.broker.ports[endpoint]!, version);
  try {
    return (await client.handshake({ clientId, ...(username === null ? {} : { username, password: PASSWORD }) })).code;
  } finally {
    client.destroy();
  }
}

const login = (endpoint: number, username: string, version: Version = 5, more = {}) =>
  connected(endpoint === 1 ? 'ws' : 'tcp', held.broker.ports[endpoint]!, version, { username, password: PASSWORD, ...more });

async function counted(endpoint: number): Promise<Record<string, number>> {
  const text = await (await fetch(`${held.broker.admin}/public/metrics`)).text();
  const lines = text.matchAll(
    /^fluxmq_endpoint_authenticator_results_total\{port="(\d+)",[^}]*authenticator="http",result="(\w+)"\} (\d+)$/gm,
  );
  return Object.fromEntries(
    [...lines].filter(([, port]) => Number(port) === held.broker.ports[endpoint]).map(([, , result, count]) => [result, Number(count)]),
  );
}

describe.each([5, 4, 3] as Version[])('MQTT %i', (version) => {
  const [denied, unavailable] = version === 5 ? [0x86, 0x88] : [4, 3];

  test('allows, denies, and leaves strangers to the next authenticator', async () => {
    expect(await code(0, 'anybody', { version })).toBe(0);
    expect(await code(0, 'stranger', { version })).toBe(0);
    expect(await code(0, 'wrong', { version })).toBe(denied);
    expect(await code(0, 'error', { version })).toBe(unavailable);
    expect(await code(2, 'anybody', { version })).toBe(0);
    expect(await code(2, 'stranger', { version })).toBe(denied);
    expect(await code(1, 'anybody', { version })).toBe(0);
  });

  test("a client's own rules come before those of its endpoint, and a superuser has none", async () => {
    const clientId = uid('own');
    const admin = await login(0, 'admin', version);
    const user = await login(0, 'rights', version, { clientId });
    const reader = await login(0, 'anybody', version);
    const refusal = version === 5 ? 0x87 : 0x80;
    const own = `closed/${clientId}/x`;
    const filters = (...names: string[]) => names.map((filter) => ({ filter, qos: 0 as const }));
    expect((await reader.subscribeRaw(filters('closed/#'))).codes).toEqual([refusal]);
    expect((await admin.subscribeRaw(filters('#'))).codes).toEqual([0]);
    expect((await user.subscribeRaw(filters(own, 'closed/#', 'open/#'))).codes).toEqual([0, refusal, 0]);
    await user.publish(own, 'own', { qos: 1 });
    expect((await user.take()).payload.toString()).toBe('own');
    await user.publish('open/no', 'no', { qos: 1 });
    await user.publish('open/yes', 'yes', { qos: 1 });
    expect((await user.take()).topic).toBe('open/yes');
    expect([(await admin.take()).topic, (await admin.take()).topic]).toEqual([own, 'open/yes']);
  });

  test('a login that ends disconnects its client', async () => {
    const client = await login(0, 'short', version);
    const rest = await client.closed();
    expect(rest.map((packet) => (packet.type === 'disconnect' ? packet.code : packet.type))).toEqual(version === 5 ? [0x87] : []);
  });
});

test.each(['garbage', 'types', 'half', 'large', 'endless', 'moved', 'error', 'slow'])(
  'an answer that is %s lets nobody in',
  async (user) => {
    const begunAt = performance.now();
    expect(await code(0, user, { version: 5 })).toBe(0x88);
    expect(performance.now() - begunAt).toBeLessThan(patience(4_000));
    expect(other.asked).toHaveLength(0);
    // Five failures in a row would make a pause.
    expect(await code(0, 'anybody', { version: 5 })).toBe(0);
  },
);

test('rights stay with a session while its client is away and the rules change', async () => {
  const clientId = uid('kept');
  const first = await login(2, 'rights', 5, { clientId, clean: false, properties: { sessionExpiry: 300 } });
  await first.subscribe(`closed/${clientId}/#`, 1);
  await first.cut();
  const change = {
    port: held.broker.ports[2],
    aclConfig: { ...acl, rules: [...acl.rules, { permission: 'deny', subject: { type: 'all' }, topic: 'x' }] },
  };
  expect((await held.broker.api('POST', '/api/endpoints/update', change)).status).toBe(200);
  const back = await RawClient.open('tcp', held.broker.ports[2]!, 5);
  const connack = await back.handshake({
    clientId,
    username: 'rights',
    password: PASSWORD,
    clean: false,
    properties: { sessionExpiry: 300 },
  });
  expect([connack.code, connack.sessionPresent]).toEqual([0, true]);
  await back.publish(`closed/${clientId}/a`, 'still there', { qos: 0 });
  expect((await back.take()).payload.toString()).toBe('still there');
});

test('names of clients stay in their place: nothing is injected', async () => {
  const names = ['a"b', '{"result":"allow"}', 'a&u=admin', "' OR 1=1 --", '../../admin', 'ünïcode 漢字', '%0d%0aX: y'];
  for (const name of names) {
    const before = service.asked.length;
    expect(await code(0, name, { clientId: name })).toBe(0);
    const [asked] = service.asked.slice(before);
    expect(JSON.parse(asked!.body)).toMatchObject({ username: name, clientId: name, password: PASSWORD, ip: '127.0.0.1' });
    expect(asked!.headers).toMatchObject({ authorization: `Bearer ${KEY}`, 'content-type': 'application/json' });
  }
  for (const name of names) {
    const before = service.asked.length;
    expect(await code(1, name, { clientId: name })).toBe(0);
    const [asked] = service.asked.slice(before);
    expect(asked!.url).toBe(`/b/${asked!.url.split('?')[0]!.slice(3)}?u=${asked!.url.split('?u=')[1]}`);
    expect(decodeURIComponent(asked!.url.split('?')[0]!.slice(3))).toBe(name);
    expect(new URL(asked!.url, url).searchParams.getAll('u')).toEqual([name]);
    expect(Buffer.from(String(asked!.headers['x-user']), 'latin1').toString('utf8')).toBe(name);
  }
  const before = service.asked.length;
  for (const name of ['a\r\nX-Admin: 1', 'a\nb', '\x7f', '\t'].slice(0, 3)) expect(await code(1, name)).toBe(0x86);
  expect(await code(1, 'up', { clientId: '..' })).toBe(0x86);
  expect(service.asked.length).toBe(before);
});

test('kept decisions are not asked about again, and are counted', async () => {
  const clientId = uid('kept');
  const before = { asked: service.asked.length, ...(await counted(1)) } as Record<string, number>;
  for (let time = 0; time < 5; time++) expect(await code(1, 'kept', { clientId })).toBe(0);
  expect(service.asked.length).toBe(before['asked']! + 1);
  const after = await counted(1);
  expect([after['allowed']! - before['allowed']!, after['cached']! - before['cached']!]).toEqual([1, 4]);
});

test('a change of the configuration is obeyed by the next CONNECT, and connected clients stay', async () => {
  const port = held.broker.ports[1]!;
  const stays = await login(1, 'stays');
  const before = service.asked.length;
  const update = await held.broker.api('POST', '/api/endpoints/update', {
    port,
    authConfig: { url: `${url}/changed?u=\${username}`, cacheSeconds: null },
  });
  expect(update.status).toBe(200);
  for (let time = 0; time < 2; time++) expect(await code(1, 'stays')).toBe(0);
  expect(service.asked.slice(before).map((asked) => asked.url)).toEqual(['/changed?u=stays', '/changed?u=stays']);
  await stays.ping();
  const { body } = await held.broker.api('GET', `/api/endpoints/history?port=${port}`);
  expect(JSON.stringify(body)).toContain('/changed');
});

test('a service that is away refuses logins at once after a while, and is found again', async () => {
  for (let time = 0; time < 6 || (time < 30 && (await counted(3))['paused'] === 0); time++) expect(await code(3, 'a')).toBe(0x88);
  const { failed = 0, paused = 0 } = await counted(3);
  expect(failed).toBeGreaterThanOrEqual(5);
  expect(paused).toBeGreaterThanOrEqual(1);
  const late = await startAuthServer((response) => response.writeHead(204).end(), laterPort);
  try {
    await until('a login', async () => (await code(3, 'a')) === 0, 10_000);
    // A pause may have ended before the service came.
    expect((await counted(3))['failed']).toBeLessThanOrEqual(failed + 2);
  } finally {
    await late.close();
  }
}, 20_000);

test('a storm of logins at a slow service disturbs no client of another endpoint', async () => {
  const hole = createServer((socket) => socket.on('error', () => {}));
  const holePort = await freePort();
  await new Promise<void>((resolve) => hole.listen(holePort, '127.0.0.1', resolve));
  const port = await freePort();
  const added = await held.broker.api('POST', '/api/endpoints/add', {
    port,
    host: '127.0.0.1',
    ...quick,
    authType: 'http',
    authConfig: { url: `http://127.0.0.1:${holePort}`, timeout: 2_000 },
  });
  expect(added.status).toBe(200);
  const calm = await login(2, 'anybody');
  const storm = Array.from({ length: 300 }, async (_, index) => {
    const client = await RawClient.open('tcp', port, 5, `127.0.1.${index % 250}`).catch(() => RawClient.open('tcp', port, 5));
    const { code } = await client.handshake({ clientId: uid('s'), username: `u${index}`, password: PASSWORD });
    client.destroy();
    return code;
  });
  let worst = 0;
  const all = Promise.all(storm);
  let isOver = false;
  void all.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const begunAt = performance.now();
    await calm.ping();
    worst = Math.max(worst, performance.now() - begunAt);
    await sleep(20);
  }
  expect(new Set(await all)).toEqual(new Set([0x88]));
  // Far below the deadline of the service: nobody waits for it.
  expect(worst).toBeLessThan(patience(1_000));
  hole.close();
}, 30_000);

test('no password and no key shows in the log, the metrics or the answers', async () => {
  const api = async (path: string) => JSON.stringify((await held.broker.api('GET', path)).body);
  const texts = [
    await held.broker.log(),
    await (await fetch(`${held.broker.admin}/public/metrics`)).text(),
    await api('/api/endpoints/list'),
    await api('/api/endpoints/history'),
    await api('/api/endpoints/export'),
    await api('/api/clients'),
  ];
  expect(texts[0]).toContain('Auth: the authenticator http gives no answer');
  for (const text of texts) {
    expect(text.length).toBeGreaterThan(10);
    expect(text).not.toContain(PASSWORD);
    expect(text).not.toContain(KEY);
  }
});
