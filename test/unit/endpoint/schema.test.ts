/** Endpoint input: defaults, all problems at once, aliases, keys of later versions, merging. */

import { describe, expect, test } from 'vitest';
import { completeEndpoint } from '../../../src/endpoint/defaults.ts';
import type { AclConfig } from '../../../src/endpoint/endpoint.ts';
import { mergeEndpoint, parseEndpoint, toPublicEndpoint } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';

function problemsOf(work: () => unknown): { kind: string; issues: Record<string, string> } {
  try {
    work();
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    return { kind: error.kind, issues: Object.fromEntries(error.issues.map(({ path, message }) => [path, message])) };
  }
  throw new Error('nothing was thrown');
}

describe('parseEndpoint', () => {
  test('each client may have a session where nobody has counted them', () => {
    expect(parseEndpoint({ port: 1, maxConnectionSize: 50 }).endpoint.maxSessionSize).toBe(100);
    const { endpoint } = parseEndpoint({ port: 1, maxConnectionSize: 5000 });
    expect(endpoint.maxSessionSize).toBe(5000);
    expect(parseEndpoint({ port: 1, maxConnectionSize: 5000, maxSessionSize: 7 }).endpoint.maxSessionSize).toBe(7);
    const raised = mergeEndpoint(endpoint, { maxConnectionSize: 9000 }).endpoint;
    expect([raised.maxConnectionSize, raised.maxSessionSize]).toEqual([9000, 9000]);
    expect(mergeEndpoint(raised, { maxConnectionSize: 5 }).endpoint.maxSessionSize).toBe(9000);
    const counted = mergeEndpoint(endpoint, { maxSessionSize: 200 }).endpoint;
    expect(mergeEndpoint(counted, { maxConnectionSize: 9000 }).endpoint.maxSessionSize).toBe(200);
    expect(mergeEndpoint(counted, { maxSessionSize: null }).endpoint.maxSessionSize).toBe(5000);
  });

  test('fills in every documented default', () => {
    const { endpoint, warnings } = parseEndpoint({ port: 1884 });
    expect(warnings).toEqual([]);
    expect(endpoint).toEqual({
      id: 'mqtt-1884',
      port: 1884,
      host: '0.0.0.0',
      useWebsocket: false,
      websocketTransport: null,
      serverReference: null,
      path: '/mqtt',
      enableAuth: true,
      authConfig: null,
      enableAcl: true,
      aclConfig: null,
      messageMaxSize: 4194304,
      maxConnectionSize: 1000,
      maxConnectionPerSecond: 100,
      maxConnectionPerAddress: null,
      maxConnectionPerAddressPerSecond: null,
      maxSessionSize: 1000,
      maxSendWindowSize: 100,
      maxReceiveWindowSize: 100,
      maxQueuedMessages: 1000,
      maxQueuedBytes: 16_777_216,
      maxSubscriptions: 100_000,
      maxTopicAlias: 256,
      maxRetainedMessages: 1_000_000,
      maxRetainedBytes: 268_435_456,
      maxKeepAlive: 65535,
      idleTimeout: 10_000,
      handshakeTimeout: 10_000,
      sessionPersistence: false,
      namespace: 'default',
      sslConfig: {
        enabled: false,
        cert: null,
        key: null,
        ca: null,
        passphrase: null,
        keyStorePath: null,
        keyStorePassword: null,
        trustStorePath: null,
        trustStorePassword: null,
        protocols: ['TLSv1.2', 'TLSv1.3'],
        cipherSuites: [],
        clientAuth: 'none',
        crl: null,
      },
      serverOptions: { soBacklog: 511, workerGroupSize: 1 },
      childOptions: { tcpNodelay: true, soKeepalive: true, soLinger: -1 },
      exclusivePool: true,
      wiretap: false,
      enabled: true,
      isDefault: false,
    });
  });

  test('takes null as the default, in nested objects too', () => {
    const nulls = {
      port: 1,
      id: null,
      host: null,
      authType: null,
      authConfig: null,
      sslConfig: null,
      serverOptions: { soBacklog: null },
      childOptions: null,
    };
    expect(parseEndpoint(nulls).endpoint).toEqual(parseEndpoint({ port: 1 }).endpoint);
  });

  test.each([
    ['port', [0, 65536, 1.5, '1883', true, Number.NaN]],
    ['id', ['', 'a b', 'ä', 'x'.repeat(65), 7]],
    ['host', ['', 'localhost', '256.0.0.1', 5]],
    ['path', ['', 'mqtt', '/a b', '/a?b', 1]],
    ['useWebsocket', [0, 1, 'true', {}]],
    ['messageMaxSize', [1023, 268435456, '4096']],
    ['maxConnectionSize', [0, 10000001]],
    ['maxConnectionPerSecond', [0, 1000001]],
    ['maxSessionSize', [0, 10000001]],
    ['maxSendWindowSize', [0, 65536]],
    ['maxReceiveWindowSize', [0, 65536]],
    ['maxQueuedMessages', [0, 1000001]],
    ['maxRetainedMessages', [0, 10_000_001]],
    ['maxRetainedBytes', [1023, 1_099_511_627_777]],
    ['maxKeepAlive', [0, 65536, '60']],
    ['namespace', ['', 'a\0b', 'x'.repeat(129), 1]],
    ['serverOptions', [[], 'x', 1]],
    ['childOptions', [[], true]],
    ['enabled', ['yes', 1]],
  ] as [string, unknown[]][])('refuses wrong values of %s', (key, values) => {
    for (const value of values) {
      const { kind, issues } = problemsOf(() => parseEndpoint({ port: 1883, [key]: value }));
      expect([value, kind, Object.keys(issues)]).toEqual([value, 'invalid', [key]]);
    }
  });

  test.each([
    { port: 1 },
    { port: 65535 },
    { port: 1, host: '::1' },
    { port: 1, messageMaxSize: 1024 },
    { port: 1, messageMaxSize: 268435455 },
    { port: 1, serverOptions: { soBacklog: 65535, workerGroupSize: 'auto' } },
    { port: 1, childOptions: { soLinger: 65535 } },
    { port: 1, childOptions: { soLinger: 0 } },
  ])('accepts %j', (input) => {
    expect(parseEndpoint(input).endpoint).toMatchObject(input);
  });

  test('lists every problem at once, with dotted paths', () => {
    const input = JSON.parse(
      '{"foo":1,"__proto__":{},"host":"x","serverOptions":{"soBacklog":0,"bar":1},"childOptions":{"soLinger":-2},"maxSessionSize":0,"gone":null,"enableBridge":true}',
    );
    expect(problemsOf(() => parseEndpoint(input))).toEqual({
      kind: 'invalid',
      issues: expect.objectContaining({
        port: 'is required',
        foo: 'unknown key',
        host: 'must be an IP address',
        'serverOptions.soBacklog': 'must be a whole number, 1..65535',
        'serverOptions.bar': 'unknown key',
        'childOptions.soLinger': 'must be a whole number, -1..65535',
        maxSessionSize: 'must be a whole number, 1..10000000',
        gone: 'unknown key',
        enableBridge: 'not supported yet',
      }),
    });
    expect(problemsOf(() => parseEndpoint(input)).issues).toHaveProperty(['__proto__'], 'unknown key');
  });

  test.each([null, [], 'x', 5, undefined])('refuses %j as an endpoint', (input) => {
    expect(problemsOf(() => parseEndpoint(input)).kind).toBe('invalid');
  });

  test.each([
    [{ enableBridge: true }, 'enableBridge'],
    [{ bridgeConfig: { kind: 'mqtt' } }, 'bridgeConfig.kind'],
    [{ proxy: true }, 'proxy'],
    [{ aclType: 'database', aclConfig: { aclSql: 'x' } }, 'aclType'],
  ])('says not supported yet to %j', (keys, path) => {
    expect(problemsOf(() => parseEndpoint({ port: 1, ...keys }))).toEqual({
      kind: 'not-supported-yet',
      issues: { [path]: 'not supported yet' },
    });
  });

  test('accepts the same keys switched off', () => {
    const off = { enableBridge: false, bridgeConfig: {}, proxy: false, sslConfig: { enabled: false }, authConfig: {}, aclConfig: {} };
    expect(parseEndpoint({ port: 1, ...off }).endpoint).toEqual(parseEndpoint({ port: 1 }).endpoint);
    expect(parseEndpoint({ port: 1, sslConfig: {} }).warnings).toEqual([]);
    // The backlog of a WebSocket port is obeyed like that of a TCP port.
    expect(parseEndpoint({ port: 1, useWebsocket: true, serverOptions: { soBacklog: 64 } }).warnings).toEqual([]);
  });

  test('knows the spellings of Netty, and warns of what cannot be set', () => {
    const { endpoint, warnings } = parseEndpoint({
      port: 1,
      serverOptions: { SO_BACKLOG: 128, bossGroupSize: 1, workerGroupSize: 4, soReuseaddr: true, tcpNodelay: true },
      childOptions: { TCP_NODELAY: false, SO_KEEPALIVE: false, SO_LINGER: 3, SO_RCVBUF: 65536, soSndbuf: 1 },
      metrics: true,
      aclRefreshPeriod: 300,
    });
    expect(endpoint.serverOptions).toEqual({ soBacklog: 128, workerGroupSize: 4 });
    expect(endpoint.childOptions).toEqual({ tcpNodelay: false, soKeepalive: false, soLinger: 3 });
    for (const name of [
      'bossGroupSize',
      'soReuseaddr',
      'serverOptions.tcpNodelay',
      'SO_RCVBUF',
      'soSndbuf',
      'metrics',
      'aclRefreshPeriod',
    ]) {
      expect(warnings.filter((warning) => warning.includes(name))).toHaveLength(1);
    }
    expect(warnings).toHaveLength(7);
  });

  test('names an option as it was written, and refuses it twice', () => {
    const { issues } = problemsOf(() =>
      parseEndpoint({ port: 1, serverOptions: { SO_BACKLOG: 0 }, childOptions: { SO_LINGER: 1, soLinger: 2 } }),
    );
    expect(Object.keys(issues).sort()).toEqual(['childOptions.soLinger', 'serverOptions.SO_BACKLOG']);
  });
});

describe('mergeEndpoint', () => {
  const users = [{ username: 'bob', password: 'secret' }];
  const current = parseEndpoint({
    port: 1883,
    id: 'main',
    maxConnectionSize: 5,
    serverOptions: { soBacklog: 9, workerGroupSize: 3 },
    authType: 'fixed',
    authConfig: { users, filter: 'User{b.*}' },
    aclConfig: { default: 'deny', rules: [{ permission: 'allow', subject: { type: 'all' }, action: 'pubsub', topic: 'a/#' }] },
  }).endpoint;

  test('replaces what is named, merges option objects and leaves the current one alone', () => {
    const before = structuredClone(current);
    const { endpoint } = mergeEndpoint(current, { port: 1883, id: 'main', wiretap: true, serverOptions: { SO_BACKLOG: 10 } });
    expect(endpoint).toEqual({ ...current, wiretap: true, serverOptions: { soBacklog: 10, workerGroupSize: 3 } });
    expect(current).toEqual(before);
  });

  test('goes back to the default with null', () => {
    const { endpoint } = mergeEndpoint(current, {
      maxConnectionSize: null,
      serverOptions: { soBacklog: null },
      authType: null,
      authConfig: null,
      aclConfig: null,
    });
    expect(endpoint).toMatchObject({
      maxConnectionSize: 1000,
      serverOptions: { soBacklog: 511, workerGroupSize: 3 },
      authConfig: null,
      aclConfig: null,
    });
    expect(mergeEndpoint(current, { serverOptions: null }).endpoint.serverOptions).toEqual({ soBacklog: 511, workerGroupSize: 1 });
  });

  test('moves with newPort and keeps the id', () => {
    expect(mergeEndpoint(current, { port: 1883, newPort: 1999 }).endpoint).toEqual({ ...current, port: 1999 });
    expect(problemsOf(() => mergeEndpoint(current, { newPort: 0 })).issues).toHaveProperty('newPort');
  });

  test('refuses another id, another port and unknown keys, together', () => {
    const { issues } = problemsOf(() => mergeEndpoint(current, { id: 'other', port: 1, what: 1, gone: null }));
    expect(Object.keys(issues).sort()).toEqual(['gone', 'id', 'port', 'what']);
  });

  test('keeps a password that comes back masked', () => {
    const shown = toPublicEndpoint(current);
    expect(JSON.stringify(shown)).not.toContain('secret');
    expect(mergeEndpoint(current, shown).endpoint).toEqual(current);
    const more = {
      authConfig: {
        users: [
          { username: 'bob', password: '******' },
          { username: 'eve', password: 'new' },
        ],
      },
    };
    const { authConfig } = mergeEndpoint(current, more).endpoint;
    expect(authConfig).toMatchObject([
      {
        users: [
          { username: 'bob', password: 'secret' },
          { username: 'eve', password: 'new' },
        ],
      },
    ]);
    expect(authConfig?.[0]?.filter).toEqual({ User: 'b.*' });
  });

  test('refuses a mask without an old password behind it', () => {
    const masked = (username: string, more = {}) => ({ authConfig: { users: [{ username, password: '******', ...more }] } });
    expect(problemsOf(() => mergeEndpoint(current, masked('eve'))).issues).toHaveProperty(['authConfig.users.0.password']);
    expect(problemsOf(() => mergeEndpoint(current, masked('bob', { encrypt: 'md5' }))).issues).toHaveProperty([
      'authConfig.users.0.password',
    ]);
    expect(problemsOf(() => parseEndpoint({ port: 1, ...masked('bob') })).issues).toHaveProperty(['authConfig.users.0.password']);
  });

  test('keeps order and default of the rules when only rules are given', () => {
    const { endpoint } = mergeEndpoint(current, { aclConfig: { order: 'deny-overrides' } });
    expect(mergeEndpoint(endpoint, { aclConfig: { rules: [] } }).endpoint.aclConfig).toEqual({
      order: 'deny-overrides',
      default: 'deny',
      rules: [],
    });
    expect(mergeEndpoint(endpoint, { aclConfig: { order: null } }).endpoint.aclConfig).toMatchObject({ order: 'first-match' });
  });

  test('rules that were stored without an order keep the meaning that they had', () => {
    const { order: _none, ...stored } = current.aclConfig!;
    const read = completeEndpoint({ ...current, aclConfig: stored as AclConfig });
    expect(read.aclConfig).toEqual({ ...stored, order: 'allow-overrides' });
    expect(completeEndpoint(current).aclConfig).toEqual(current.aclConfig);
    expect(completeEndpoint({ port: 1 }).aclConfig).toBeNull();
  });
});

describe('toPublicEndpoint', () => {
  test('shows every key, those of later versions too', () => {
    const shown = toPublicEndpoint(parseEndpoint({ port: 1 }).endpoint);
    expect(shown).toMatchObject({ authType: null, authConfig: null, aclType: null, sslConfig: {}, enableBridge: false, proxy: false });
  });

  test('can be sent back as a new endpoint', () => {
    const { endpoint } = parseEndpoint({ port: 1, aclConfig: { default: 'deny', rules: [] }, useWebsocket: true });
    expect(parseEndpoint(toPublicEndpoint(endpoint)).endpoint).toEqual(endpoint);
  });
});
