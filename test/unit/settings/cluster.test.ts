/** The `cluster` section: where NATS is, how a node is let in, how nodes keep in step. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadSettings } from '../../../src/settings/load-settings.ts';
import { SettingsError } from '../../../src/settings/settings-error.ts';

const cwd = import.meta.dirname;

function load(text: string, env: Record<string, string> = {}) {
  return loadSettings({ file: null, cwd, env: { ...env, FLUXMQ_CLUSTER: text } }).settings.cluster;
}

function problemsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.issues.map(({ path }) => path).sort();
  }
  return [];
}

test('a node without it is alone', () => {
  expect(loadSettings({ file: null, cwd, env: {} }).settings.cluster).toEqual({
    name: 'fluxmq',
    localAddress: '127.0.0.1',
    bus: null,
    messages: true,
    hold: 64 * 1024 * 1024,
    sharedSubscriptions: 'even',
    willGrace: 5_000,
    sync: { enabled: true, interval: 5000, timeout: 30_000, retryCount: 3 },
  });
  expect(load('{"sync":{"interval":100}}')).toMatchObject({ bus: null, sync: { interval: 100 } });
});

test('each way to write a server is understood', () => {
  const addresses = ['nats://127.0.0.1:4222', 'tls://n2', 'n3:4333', 'n4', '[::1]:4555', 'nats://[fe80::1]'];
  expect(load(JSON.stringify({ addresses })).bus?.place).toEqual({
    kind: 'addresses',
    addresses: ['127.0.0.1:4222', 'n2:4222', 'n3:4333', 'n4:4222', '[::1]:4555', '[fe80::1]:4222'],
  });
});

test('tls:// of one server demands TLS of all', () => {
  expect(load('{"addresses":["nats://n1","n2"]}').bus?.credentials.tls).toBeNull();
  expect(load('{"addresses":["n1","tls://n2"]}').bus?.credentials.tls).toEqual({ ca: null, crt: null, key: null });
  const text = '{"addresses":["tls://n2"],"credentials":{"tls":{"ca":"/ca.pem"}}}';
  expect(load(text).bus?.credentials.tls).toEqual({ ca: '/ca.pem', crt: null, key: null });
});

test('kubernetes, credentials and files', () => {
  const text = JSON.stringify({
    name: 'farm',
    kubernetes: { service: 'nats', namespace: null, dnsServers: ['127.0.0.1:5353'] },
    credentials: { user: 'u', password: 'p', tls: { ca: 'ca.pem', crt: 'c.pem', key: 'k.pem' } },
    messages: false,
    hold: '2MB',
    sharedSubscriptions: 'local',
    willGrace: 30_000,
    sync: { enabled: false, interval: 1000, timeout: 500, retryCount: 0 },
  });
  expect(load(text)).toEqual({
    name: 'farm',
    messages: false,
    hold: 2 * 1024 * 1024,
    sharedSubscriptions: 'local',
    willGrace: 30_000,
    localAddress: '127.0.0.1',
    bus: {
      place: { kind: 'dns', service: 'nats', namespace: 'default', port: 4222, dnsServers: ['127.0.0.1:5353'] },
      credentials: {
        user: 'u',
        password: 'p',
        token: null,
        credsFile: null,
        tls: { ca: join(cwd, 'ca.pem'), crt: join(cwd, 'c.pem'), key: join(cwd, 'k.pem') },
      },
    },
    sync: { enabled: false, interval: 1000, timeout: 500, retryCount: 0 },
  });
});

test.each([
  ['{"name":"a b","addresses":["n1"]}', ['cluster.name']],
  ['{"name":"a"}', ['cluster.addresses']],
  ['{"addresses":[]}', ['cluster.addresses']],
  ['{"addresses":["http://n1","n1:70000","a b"]}', ['cluster.addresses.0', 'cluster.addresses.1', 'cluster.addresses.2']],
  ['{"addresses":["n1"],"kubernetes":{"service":"s"}}', ['cluster.kubernetes']],
  ['{"addresses":["n1"],"localAddress":"here","colour":1}', ['cluster.colour', 'cluster.localAddress']],
  ['{"addresses":["n1"],"credentials":{"user":"u","token":"t"}}', ['cluster.credentials']],
  ['{"addresses":["n1"],"credentials":{"password":"p"}}', ['cluster.credentials.user']],
  ['{"addresses":["n1"],"credentials":{"tls":{"crt":"c"}}}', ['cluster.credentials.tls']],
  [
    '{"kubernetes":{"service":"s","dnsServers":["dns.local","1.2.3.4","1.2.3.4:53","[::1]:53","::1","1.2.3:53"]}}',
    ['cluster.kubernetes.dnsServers.0', 'cluster.kubernetes.dnsServers.5'],
  ],
  ['{"sync":{"interval":1,"timeout":0,"retryCount":-1}}', ['cluster.sync.interval', 'cluster.sync.retryCount', 'cluster.sync.timeout']],
])('%s is refused', (text, paths) => {
  expect(problemsOf(text).map((path) => path.replace(/\[(\d+)\]/g, '.$1'))).toEqual(paths);
});
