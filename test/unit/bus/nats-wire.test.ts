/** The wire of the links over a real nats-server: names, permissions, limits, and a server that takes nothing. */

import { afterEach, expect, test } from 'vitest';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import { openNatsWire } from '../../../src/bus/nats/nats-wire.ts';
import type { NodeWire } from '../../../src/bus/node-wire.ts';
import { nodeOfWord, subjectsOf, wordOf } from '../../../src/bus/subjects.ts';
import { type NatsServers, startNats } from '../../kit/nats.ts';
import { sleep, until } from '../../kit/until.ts';

const NOBODY = { user: null, password: null, token: null, credsFile: null, tls: null };
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function nats(config = ''): Promise<NatsServers> {
  const servers = await startNats({ config });
  ends.push(() => servers.stop());
  return servers;
}

interface Opened {
  wire: NodeWire;
  heard: string[];
  log: string[];
  isConnected: boolean;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

function settingsOf({ urls }: NatsServers, login: Partial<typeof NOBODY> | { user: string; password: string } = {}) {
  const addresses = urls.map((url) => url.slice('nats://'.length));
  return { place: { kind: 'addresses' as const, addresses }, credentials: { ...NOBODY, ...login } };
}

function open(servers: NatsServers, node: string, login: Partial<typeof NOBODY> | { user: string; password: string } = {}): Opened {
  const log: string[] = [];
  const note = (text: string, facts?: Record<string, unknown>) => void log.push(`${text} ${JSON.stringify(facts ?? {})}`);
  const logger = { debug: note, info: note, warn: note, error: note };
  const opened: Opened = { wire: openNatsWire(settingsOf(servers, login), 'test', 'C', node, logger), heard: [], log, isConnected: false };
  ends.unshift(() => opened.wire.close());
  opened.wire.onFrame((from, frame) => opened.heard.push(`${from}: ${Buffer.from(frame)}`));
  opened.wire.onState((isConnected) => {
    opened.isConnected = isConnected;
  });
  return opened;
}

const connected = (...all: Opened[]) => until('connections', () => all.every(({ isConnected }) => isConnected), 10_000);

test('a name is one word of a subject, and comes back', () => {
  const names = ['node-1', 'a.b', 'a b', '*', '>', 'Zürich', '~61', '', 'n'.repeat(200)];
  for (const name of names) {
    expect(wordOf(name)).toMatch(/^~?[A-Za-z0-9_-]*$/);
    expect(nodeOfWord(wordOf(name))).toBe(name);
  }
  expect(new Set(names.map(wordOf)).size).toBe(names.length);
  expect(['~zz', '~6', '~61', '~ff', 'a*'].map(nodeOfWord)).toEqual([null, null, null, null, null]);
});

test('a frame goes to one node, and names its sender', async () => {
  const servers = await nats();
  const [a, b, c] = [open(servers, 'a'), open(servers, 'b.1'), open(servers, 'c')];
  await connected(a, b, c);
  await until('a frame', () => a.wire.send('b.1', Buffer.from('1')) && b.heard.length > 0);
  expect(b.wire.send('a', Buffer.from('2'))).toBe(true);
  await until('an answer', () => a.heard.length > 0);
  expect([new Set(b.heard), a.heard, c.heard]).toEqual([new Set(['a: 1']), ['b.1: 2'], []]);
  await a.wire.close();
  expect(a.wire.send('b.1', Buffer.from('3'))).toBe(false);
});

test('with permissions by name, no node speaks or hears as another', async () => {
  const user = (name: string) =>
    `{ user: ${name}, password: p, permissions: { publish: ["C.x.*.${name}"], subscribe: ["C.x.${name}.*"] } }`;
  const servers = await nats(`authorization { users: [${['n1', 'n2', 'n3'].map(user).join(', ')}] }`);
  const as = (name: string) => ({ user: name, password: 'p' });
  const [n1, n3, liar] = [open(servers, 'n1', as('n1')), open(servers, 'n3', as('n3')), open(servers, 'n1', as('n2'))];
  await connected(n1, n3, liar);
  await until('the right ones', () => n1.wire.send('n3', Buffer.from('right')) && n3.heard.length > 0);
  n3.wire.send('n1', Buffer.from('secret'));
  await until('it is heard', () => n1.heard.length > 0);
  liar.wire.send('n3', Buffer.from('wrong'));
  await until('the refusals', () => liar.log.filter((line) => line.includes('PERMISSIONS_VIOLATION')).length >= 2);
  expect(liar.log.some((line) => line.includes('NATS refuses the subscription for messages'))).toBe(true);
  expect(liar.heard).toEqual([]);
  expect(new Set(n3.heard)).toEqual(new Set(['n1: right']));
});

test('a server that takes no whole frame is refused with the reason', async () => {
  const servers = await nats('max_payload: 65536');
  const a = open(servers, 'a');
  await until('the reason', () => a.log.some((line) => /max_payload of .* is 65536 bytes; frames have up to 262144/.test(line)));
  expect([a.isConnected, a.wire.send('b', Buffer.from('1'))]).toEqual([false, false]);
});

test('a server that takes nothing is given a bounded number of bytes', async () => {
  const servers = await nats();
  const a = open(servers, 'a');
  await connected(a);
  servers.servers[0]!.pause();
  const frame = Buffer.alloc(256 * 1024);
  let taken = 0;
  for (let n = 0; n < 400 && a.wire.send('b', frame); n++) {
    taken += frame.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  // The limit is 8 MiB, beside the system's buffers at both ends.
  expect(taken).toBeLessThan(32 * 1024 * 1024);
  await until('it is left', () => !a.isConnected, 5_000);
});

test('NATS says whether a process is there, and how long its servers are the same', async () => {
  const servers = await startNats({ size: 2 });
  ends.push(() => servers.stop());
  const asking = open({ ...servers, urls: servers.urls.slice(0, 1) }, 'a');
  const asked = open({ ...servers, urls: servers.urls.slice(1) }, 'b');
  const main = openNatsBus(settingsOf({ ...servers, urls: servers.urls.slice(1) }), 'main', SILENT);
  ends.unshift(() => main.close());
  main.subscribe(subjectsOf('C').alive(7), () => {});
  await connected(asking, asked);
  await until('both are known at the other server', async () => (await asking.wire.presence('b', 8)) === 'present');
  await asked.wire.close();
  await until('main is there alone', async () => (await asking.wire.presence('b', 8)) === 'absent');
  expect(await asking.wire.presence('b', 7)).toBe('present');
  await main.close();
  await until('nobody is there', async () => (await asking.wire.presence('b', 7)) === 'absent');
  asking.wire.settledMs();
  await sleep(300);
  expect(asking.wire.settledMs()).toBeGreaterThanOrEqual(300);
  await servers.servers[1]!.kill();
  await until('the servers have changed', () => asking.wire.settledMs() < 300);
  await servers.servers[0]!.kill();
  await until('no connection', () => !asking.isConnected);
  expect([await asking.wire.presence('b', 7), asking.wire.settledMs()]).toEqual(['unknown', 0]);
});
