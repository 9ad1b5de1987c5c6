/** The bus over a real nats-server: what is subscribed, answered and served survives servers that die, freeze, or let nobody in. */

import { connect } from 'nats';
import { afterEach, expect, test } from 'vitest';
import type { Bus } from '../../../src/bus/bus.ts';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import type { BusCredentials, BusPlace } from '../../../src/bus/settings.ts';
import { type NatsOptions, type NatsServers, startNats } from '../../kit/nats.ts';
import { until } from '../../kit/until.ts';

const NOBODY: BusCredentials = { user: null, password: null, token: null, credsFile: null, tls: null };
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function nats(options: NatsOptions = {}): Promise<NatsServers> {
  const servers = await startNats(options);
  ends.push(() => servers.stop());
  return servers;
}

function open(servers: NatsServers | BusPlace, credentials: Partial<BusCredentials> = {}): Bus {
  const place: BusPlace =
    'kind' in servers ? servers : { kind: 'addresses', addresses: servers.urls.map((url) => url.slice('nats://'.length)) };
  const bus = openNatsBus({ place, credentials: { ...NOBODY, ...credentials } }, 'test', QUIET);
  ends.unshift(() => bus.close());
  return bus;
}

const connected = (bus: Bus) => until('a connection', () => bus.state.connected, 10_000);

test('notices and requests go from node to node, and what is not JSON is nothing', async () => {
  const servers = await nats();
  const [a, b] = [open(servers), open(servers)];
  const heard: unknown[] = [];
  b.subscribe('t.news', (body) => heard.push(body));
  b.answer('t.sum', async (body) => (body as number[]).reduce((sum, each) => sum + each, 0));
  await connected(a);
  await connected(b);
  await until('an answer', async () => (await a.request('t.sum', [1, 2], 1_000).catch(() => null)) === 3);
  expect(a.publish('t.news', { revision: 7 })).toBe(true);
  const stranger = await connect({ servers: servers.urls });
  stranger.publish('t.news', 'not JSON');
  stranger.publish('t.news');
  await stranger.drain();
  await until('three notices', () => heard.length === 3);
  expect(heard).toEqual([{ revision: 7 }, undefined, undefined]);
  await expect(a.request('t.nobody', null, 1_000)).rejects.toMatchObject({ kind: 'unavailable' });
  b.answer('t.slow', () => new Promise(() => {}));
  await until('it is asked', () =>
    a.request('t.slow', null, 50).then(
      () => false,
      (error: { kind: string }) => error.kind === 'timeout',
    ),
  );
});

test('it is there before its server, and back after the server was killed or froze, with everything on it', async () => {
  const servers = await nats();
  const [server] = servers.servers;
  await server!.kill();
  const bus = open(servers);
  const heard: unknown[] = [];
  bus.subscribe('t.news', (body) => heard.push(body));
  bus.serve({
    name: 'svc',
    version: '1.0.0',
    description: 'd',
    metadata: { node: 'n' },
    prefix: 'svc.ops',
    endpoints: ['get'],
    handle: async ({ name, body, headers }) => ({
      body: JSON.stringify({ name, body: Buffer.from(body).toString(), actor: headers.get('actor') ?? null }),
      headers: {},
      failure: null,
    }),
  });
  expect(bus.publish('t.news', 1)).toBe(false);
  await expect(bus.request('t.x', null, 100)).rejects.toMatchObject({ kind: 'unavailable' });
  await server!.start();
  for (const harm of ['none', 'killed', 'frozen'] as const) {
    if (harm === 'killed') await server!.kill();
    if (harm === 'frozen') server!.pause();
    if (harm !== 'none') await until('the loss is seen', () => !bus.state.connected, 15_000);
    if (harm === 'killed') await server!.start();
    if (harm === 'frozen') server!.resume();
    await connected(bus);
    heard.length = 0;
    await until('a notice', () => bus.publish('t.news', harm) && heard.includes(harm));
    const other = await connect({ servers: servers.urls });
    const answer = await until('the service', () => other.request('svc.ops.get', '{"a":1}', { timeout: 1_000 }).catch(() => null));
    expect(answer!.json()).toEqual({ name: 'get', body: '{"a":1}', actor: null });
    await other.close();
  }
}, 60_000);

test('of two servers it uses the one that lives', async () => {
  const servers = await nats({ size: 2 });
  const bus = open(servers);
  await connected(bus);
  for (const dead of servers.servers) {
    await dead.kill();
    await until('a connection to the other', () => bus.state.connected && !bus.state.server.endsWith(String(dead.port)), 15_000);
    await dead.start();
  }
}, 60_000);

test.each([
  ['a user', 'authorization { user: u, password: p }', { user: 'u', password: 'p' }, { user: 'u', password: 'x' }],
  ['a token', 'authorization { token: secret }', { token: 'secret' }, { token: 'other' }],
])('%s is let in, a wrong one learns why and tries again', async (_name, config, right, wrong) => {
  const servers = await nats({ config });
  const [good, bad] = [open(servers, right), open(servers, wrong)];
  await connected(good);
  await until('the refusal', () => !bad.state.connected && /authorization/i.test(bad.state.reason), 10_000);
});
