/** A config.yaml of FluxMQ 2.1 starts, and says what of it means nothing here. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadSettings } from '../../../src/settings/load-settings.ts';
import { SettingsError } from '../../../src/settings/settings-error.ts';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'fluxmq-21-'));
});

afterEach(() => rmSync(cwd, { recursive: true }));

function load(yaml: string) {
  writeFileSync(join(cwd, 'config.yaml'), yaml);
  return loadSettings({ file: 'config.yaml', env: {}, cwd });
}

/** The shape of the file that comes with FluxMQ 2.1: every section, two ports, a database that MEMORY does not use. */
const STOCK = `
allowEmptyMessage: true
allowAnonymousAccess: true
pool:
  bufferSize: 4096
  waitStrategy: BLOCKING
mqtt:
  - port: 1883
    wiretap: false
    messageMaxSize: 4194304
    proxy: false
    enableAuth: true
    enableAcl: true
    enableBridge: true
    maxSendWindowSize: 100
    maxReceiveWindowSize: 100
    maxConnectionPerSecond: 1000
    sessionPersistence: false
    maxSessionSize: 100
  - port: 8999
    useWebsocket: true
    path: /mqtt
    enableAuth: false
    aclRefreshPeriod: 60
    options: { SO_BACKLOG: 300 }
http: { host: 127.0.0.1, port: 8080, accessLog: false, username: fluxmq, password: fluxmq }
cluster:
  localAddress: 127.0.0.1
  addresses: ["127.0.0.1"]
meter: { meterType: PROMETHEUS }
eventbus: { compressed: true, batch: true, batchSize: 2000 }
shareSubscribe: { strategy: RANDOM }
store:
  storeType: MEMORY
  datasource:
    url: jdbc:mysql://127.0.0.1:3306/fluxmq?useSSL=false
    username: root
    password: 123456
    driver: com.mysql.cj.jdbc.Driver
application:
  name: fluxmq
`;

test('the stock file starts with its ports, login and store', () => {
  const { settings } = load(STOCK);
  expect(settings.endpoints).toMatchObject([
    { port: 1883, enableAuth: true, maxConnectionPerSecond: 1000 },
    { port: 8999, useWebsocket: true, enableAuth: false, serverOptions: { soBacklog: 300 } },
  ]);
  expect(settings.http).toMatchObject({ port: 8080, username: 'fluxmq', password: 'fluxmq' });
  expect(settings.store.storeType).toBe('MEMORY');
});

test('each thing without effect is named in a warning', () => {
  const { warnings } = load(STOCK);
  const subjects = warnings.map((warning) => warning.split(':')[0]);
  expect(subjects.sort()).toEqual(
    [
      'allowAnonymousAccess',
      'allowEmptyMessage',
      'application',
      'cluster',
      'eventbus',
      'meter',
      'mqtt[0].enableBridge',
      'mqtt[1].aclRefreshPeriod',
      'pool',
      'shareSubscribe',
      'store.datasource',
    ].sort(),
  );
});

function pathsOf(yaml: string): string[] {
  try {
    load(yaml);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.issues.map((issue) => `${issue.path}:${issue.line}`);
  }
  return [];
}

test('its ssl is our sslConfig', () => {
  const { endpoints } = load('mqtt:\n  - port: 1\n    ssl: { enable: true, crt: a.pem, key: b.pem }\n').settings;
  expect(endpoints[0]?.sslConfig).toMatchObject({ enabled: true, cert: 'a.pem', key: 'b.pem', clientAuth: 'none' });
});

test('problems of the mqtt list are reported under its own name', () => {
  expect(pathsOf('mqtt:\n  - port: 1883\n    colour: red\n')).toEqual(['mqtt[0].colour:3']);
  expect(pathsOf('mqtt: []\nendpoints: []\n')).toEqual(['mqtt:1']);
});

test('a cluster of several has its NATS servers at these addresses', () => {
  const { cluster } = load('cluster:\n  localAddress: 10.0.0.1\n  addresses: ["10.0.0.1", "10.0.0.2"]\n').settings;
  expect(cluster).toMatchObject({ localAddress: '10.0.0.1', bus: { place: { addresses: ['10.0.0.1:4222', '10.0.0.2:4222'] } } });
});

test('a malformed database URL is reported even when it is not used', () => {
  expect(pathsOf('store: { datasource: { url: localhost } }')).toEqual(['store.datasource.url:1']);
  expect(pathsOf('store: { datasource: { url: "jdbc:h2:x", colour: 1 } }')).toEqual(['store.datasource.colour:1']);
});
