/** A NATS server that freezes (SIGSTOP) keeps its connections open: the bus leaves it by its own deadline, whatever waits to be sent. */

import { createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Bus, BusState } from '../../../src/bus/bus.ts';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import { NatsLink } from '../../../src/bus/nats/nats-link.ts';
import type { BusSettings } from '../../../src/bus/settings.ts';
import { freePort } from '../../kit/free-port.ts';
import { type NatsServer, type NatsServers, startNats } from '../../kit/nats.ts';
import { until } from '../../kit/until.ts';

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const MEBIBYTE = 'x'.repeat(1024 * 1024 - 100);
/** Longest time until this node has left a frozen server: 1.5 s, and the rest is for a loaded machine. */
const LEFT_MS_MAX = 2_500;

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function nats(size: number): Promise<NatsServers> {
  const servers = await startNats({ size });
  ends.push(() => servers.stop());
  return servers;
}

function settingsOf(addresses: readonly string[]): BusSettings {
  const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  return { place: { kind: 'addresses', addresses: [...addresses] }, credentials };
}

const addressesOf = ({ urls }: NatsServers) => urls.map((url) => url.slice('nats://'.length));

async function openBus(servers: NatsServers): Promise<{ bus: Bus; states: BusState[] }> {
  const bus = openNatsBus(settingsOf(addressesOf(servers)), 'test', QUIET);
  ends.unshift(() => bus.close());
  const states: BusState[] = [];
  bus.onState((state) => states.push(state));
  await until('a connection', () => bus.state.connected, 10_000);
  return { bus, states };
}

function usedBy(bus: Bus, { servers }: NatsServers): NatsServer {
  const { state } = bus;
  return servers.find(({ port }) => state.connected && state.server.endsWith(`:${port}`))!;
}

const took = async (work: Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await work;
  return performance.now() - began;
};

test.each([
  ['nothing waits to be sent', 0],
  ['8 MiB wait to be sent', 8],
])('a frozen server is left while it is frozen, when %s', async (_name, mebibytes) => {
  const servers = await nats(2);
  const { bus, states } = await openBus(servers);
  const frozen = usedBy(bus, servers);
  frozen.pause();
  for (let n = 0; n < mebibytes; n++) expect(bus.publish('t.much', MEBIBYTE)).toBe(true);
  const isElsewhere = () => bus.state.connected && usedBy(bus, servers) !== frozen;
  expect(await took(until('a connection to the other', isElsewhere, 5_000, 5))).toBeLessThan(LEFT_MS_MAX);
  const reasons = states.flatMap((state) => (state.connected ? [] : [state.reason])).slice(1);
  expect(reasons).toEqual([expect.stringMatching(new RegExp(`:${frozen.port} is silent: no answer to a PING within 1000 ms`))]);
  if (mebibytes > 0) expect(reasons[0]).toMatch(/, and \d{6,} bytes wait to be sent to it$/);
  const heard: unknown[] = [];
  bus.subscribe('t.news', (body) => heard.push(body));
  await until('a notice by the other', () => bus.publish('t.news', 1) && heard.length > 0);
  // The thawed server does no harm, and is a server like the other one again.
  frozen.resume();
  const other = usedBy(bus, servers);
  await other.kill();
  await until('a connection to the thawed one', () => bus.state.connected && usedBy(bus, servers) === frozen, 10_000);
});

test('requests on a frozen server fail by their deadline, or as lost when it is left', async () => {
  const servers = await nats(1);
  const { bus } = await openBus(servers);
  servers.servers[0]!.pause();
  expect(await took(expect(bus.request('t.x', null, 200)).rejects.toMatchObject({ kind: 'timeout' }))).toBeLessThan(900);
  await expect(bus.request('t.x', null, 20_000)).rejects.toMatchObject({ kind: 'unavailable', message: /connection to NATS was lost/ });
});

test.each([0, 8])('a bus with a service closes in time on a frozen server, %i MiB waiting', async (mebibytes) => {
  const servers = await nats(1);
  const { bus } = await openBus(servers);
  const serving = bus.serve({
    name: 'svc',
    version: '1.0.0',
    description: 'd',
    metadata: {},
    prefix: 'svc.ops',
    endpoints: ['get'],
    handle: async () => ({ body: '{}', headers: {}, failure: null }),
  });
  await bus.request('$SRV.PING.svc', undefined, 5_000);
  servers.servers[0]!.pause();
  for (let n = 0; n < mebibytes; n++) bus.publish('t.much', MEBIBYTE);
  expect(await took(serving.close(300))).toBeLessThan(1_200);
  expect(await took(bus.close())).toBeLessThan(2_400);
});

test('what is under way when a connection opens does not hold the link when the server freezes', async () => {
  const servers = await nats(2);
  const opened: string[] = [];
  const link = new NatsLink(settingsOf(addressesOf(servers)), 'test', {
    onConnected: async (connection) => {
      opened.push(connection.getServer());
      if (opened.length > 1) return;
      servers.servers.find(({ port }) => connection.getServer().endsWith(`:${port}`))!.pause();
      await connection.flush();
    },
    onState: () => {},
  });
  ends.unshift(() => link.close());
  await until('a connection to the other', () => link.state.connected, 5_000);
  expect(opened).toHaveLength(2);
  expect(opened[0]).not.toBe(opened[1]);
});

test('servers that accept and say nothing are tried last, and no socket to them stays open', async () => {
  const servers = await nats(1);
  const sockets = new Set<Socket>();
  let accepted = 0;
  const port = await freePort();
  const mute = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve) => mute.listen(port, '127.0.0.1', resolve));
  ends.push(() => new Promise((resolve) => mute.close(() => resolve())));
  await servers.servers[0]!.kill();
  const link = new NatsLink(settingsOf([`127.0.0.1:${port}`, ...addressesOf(servers)]), 'test', {
    onConnected: async () => {},
    onState: () => {},
  });
  ends.unshift(() => link.close());
  await until('some attempts', () => accepted >= 3, 15_000);
  expect(sockets.size).toBeLessThanOrEqual(1);
  expect(link.state).toMatchObject({ connected: false, reason: expect.stringContaining(`127.0.0.1:${port}: it does not answer`) });
  await servers.servers[0]!.start();
  await until('a connection to the one that lives', () => link.state.connected, 10_000);
  await until('no socket to the other', () => sockets.size === 0);
});
