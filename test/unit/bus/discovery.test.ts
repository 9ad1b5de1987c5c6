/** Servers found by the DNS records of a Kubernetes service, against a small DNS server; looked up again at each connection. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bus } from '../../../src/bus/bus.ts';
import { findServers } from '../../../src/bus/nats/discovery.ts';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import type { BusPlace } from '../../../src/bus/settings.ts';
import { DnsServer } from '../../kit/dns.ts';
import { startNats } from '../../kit/nats.ts';
import { until } from '../../kit/until.ts';

const NAME = 'nats.farm.svc.cluster.local';
let dns: DnsServer;
let place: BusPlace;
const ends: (() => Promise<void>)[] = [];
beforeEach(async () => {
  dns = await DnsServer.start();
  place = { kind: 'dns', service: 'nats', namespace: 'farm', port: 4444, dnsServers: [dns.address] };
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await dns.stop();
});

test('SRV records name host and port of each server, in order of priority', async () => {
  dns.zones.set(NAME, {
    srv: [
      { target: `nats-1.${NAME}`, port: 4223, priority: 2 },
      { target: `nats-0.${NAME}`, port: 4222, priority: 1 },
    ],
    a: ['10.9.9.9'],
  });
  dns.zones.set(`nats-0.${NAME}`, { a: ['10.0.0.1'] });
  dns.zones.set(`nats-1.${NAME}`, { a: ['10.0.0.2'] });
  expect(await findServers(place)).toEqual([
    { address: '10.0.0.1:4222', name: `nats-0.${NAME}` },
    { address: '10.0.0.2:4223', name: `nats-1.${NAME}` },
  ]);
  expect(dns.asked).not.toContain(`A ${NAME}`);
});

test('of the records of all ports of a service, those of the port in the settings are meant', async () => {
  const srv = [8222, 4444, 6222].map((port) => ({ target: `nats-0.${NAME}`, port }));
  dns.zones.set(NAME, { srv });
  dns.zones.set(`nats-0.${NAME}`, { a: ['10.0.0.1', '10.0.0.2'] });
  expect((await findServers(place)).map(({ address }) => address)).toEqual(['10.0.0.1:4444', '10.0.0.2:4444']);
});

test('of one priority, the heavier is first more often, and none is never first', async () => {
  dns.zones.set(NAME, {
    srv: [
      { target: 'heavy.local', port: 1, weight: 90 },
      { target: 'light.local', port: 2, weight: 10 },
    ],
  });
  dns.zones.set('heavy.local', { a: ['10.0.0.1'] });
  dns.zones.set('light.local', { a: ['10.0.0.2'] });
  let heavy = 0;
  for (let n = 0; n < 200; n++) if ((await findServers(place))[0]!.name === 'heavy.local') heavy++;
  // Of 200, 180 on average, with a standard deviation of 4.2.
  expect(heavy).toBeGreaterThan(150);
  expect(heavy).toBeLessThan(200);
});

test('without SRV records it is the addresses of the service, with the port of the settings', async () => {
  dns.zones.set(NAME, { a: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] });
  const found = await findServers(place);
  expect(found.map(({ address }) => address).sort()).toEqual(['10.0.0.1:4444', '10.0.0.2:4444', '10.0.0.3:4444']);
  expect(new Set(found.map(({ name }) => name))).toEqual(new Set([NAME]));
  expect(dns.asked.indexOf(`SRV ${NAME}`)).toBeLessThan(dns.asked.indexOf(`A ${NAME}`));
});

test('no record, and a DNS server that is silent, are reported', async () => {
  await expect(findServers(place)).rejects.toThrow(`no NATS server is found under ${NAME} (SRV: ENOTFOUND, A: ENOTFOUND, AAAA: ENOTFOUND)`);
  dns.isAnswering = false;
  await expect(findServers(place)).rejects.toThrow(/\(SRV: ETIMEOUT, A: ETIMEOUT, AAAA: ETIMEOUT\)/);
});

test('an end does not wait for a DNS server that is silent, nor does its answer wake what has ended', async () => {
  dns.isAnswering = false;
  const states: boolean[] = [];
  const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  const bus = openNatsBus({ place, credentials }, 'test', { debug() {}, info() {}, warn() {}, error() {} });
  bus.onState(({ connected }) => states.push(connected));
  await until('it is asked', () => dns.asked.length > 0);
  const began = performance.now();
  await bus.close();
  // Its look-ups would take four seconds.
  expect(performance.now() - began).toBeLessThan(3_000);
  await until('the look-ups are over', () => dns.asked.some((each) => each.startsWith('A ')));
  expect(states).toEqual([false]);
});

test('addresses come in any order, so that nodes spread over the servers', async () => {
  const addresses = ['n1:4222', '[::1]:4223', 'n3:4222'];
  const firsts = new Set<string>();
  for (let n = 0; n < 100; n++) {
    const found = await findServers({ kind: 'addresses', addresses });
    expect(found.map(({ address }) => address).sort()).toEqual([...addresses].sort());
    firsts.add(found[0]!.address);
    expect(found.find(({ address }) => address.startsWith('['))!.name).toBe('::1');
  }
  expect(firsts.size).toBe(3);
});

test('each connection looks the servers up again: one that has moved is found', async () => {
  const [first, second] = [await startNats(), await startNats()];
  ends.push(
    () => first.stop(),
    () => second.stop(),
  );
  dns.zones.set('pod.local', { a: ['127.0.0.1'] });
  const pointTo = ({ servers }: typeof first) => dns.zones.set(NAME, { srv: [{ target: 'pod.local', port: servers[0]!.port }] });
  const credentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  const bus: Bus = openNatsBus({ place, credentials }, 'test', { debug() {}, info() {}, warn() {}, error() {} });
  ends.unshift(() => bus.close());
  const reaches = (words: RegExp) =>
    until('the reason or server', () => words.test(bus.state.connected ? bus.state.server : bus.state.reason), 10_000);
  await reaches(/no NATS server is found under/);
  pointTo(first);
  await reaches(new RegExp(`:${first.servers[0]!.port}$`));
  await first.servers[0]!.kill();
  await reaches(new RegExp(`^127.0.0.1:${first.servers[0]!.port}: nobody listens there$`));
  pointTo(second);
  await reaches(new RegExp(`:${second.servers[0]!.port}$`));
}, 40_000);
