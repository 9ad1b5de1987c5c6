/** A Node that lacks undocumented pieces: a start that says so, and clients that are served without them; or no start, with the reason. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, describe, expect, test } from 'vitest';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import { type Broker, type BrokerOptions, startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { connected } from '../../kit/lanes.ts';
import { preload } from '../../kit/preload.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { openSecure } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const ROOT = join(import.meta.dirname, '../../..');
const HOOK = join(import.meta.dirname, '../../kit/lesser-node.ts');
const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const root = Authority.root(certificateFolder());
const server = root.issue('localhost');
const good = root.issue('sensor', { kind: 'client' });
const stranger = Authority.root(certificateFolder(), 'stranger').issue('thief', { kind: 'client' });

afterAll(destroyAll);

const without = (pieces: readonly string[]): Pick<BrokerOptions, 'env'> => ({
  env: { NODE_OPTIONS: preload(HOOK), LACKS: pieces.join(',') },
});

interface Health {
  data: {
    status: string;
    runtime: { version: string; lacking: { piece: string; instead: string }[]; websocketTransports: { uws: true | string } };
  };
}

async function runtimeOf(broker: Broker): Promise<Health['data']['runtime']> {
  const { data } = (await broker.api('GET', '/api/system/health')).body as Health;
  expect(data.status).toBe('ok');
  return data.runtime;
}

/** One message of each QoS from a client to a subscriber, in both directions between two connections. */
async function exchange(one: RawClient, two: RawClient): Promise<void> {
  for (const [from, to] of [
    [one, two],
    [two, one],
  ] as const) {
    const topic = uid('topic');
    await to.subscribe(topic, 2);
    for (const qos of [0, 1, 2] as const) {
      await from.publish(topic, `of ${qos} ${'x'.repeat(100_000)}`, { qos });
      expect((await to.take(5_000)).payload.toString()).toBe(`of ${qos} ${'x'.repeat(100_000)}`);
    }
  }
}

async function secure(port: number, version: 'TLSv1.2' | 'TLSv1.3', identity: Issued): Promise<RawClient> {
  const options = { ca: readFileSync(root.cert), cert: readFileSync(identity.chain), key: readFileSync(identity.key) };
  const client = RawClient.over(await openSecure('tcp', port, { ...options, minVersion: version, maxVersion: version }), 5);
  expect((await client.handshake({ clientId: uid('c') })).code).toBe(0);
  return client;
}

/** The end of a connection whose client certificate the broker refuses. */
function refusal(port: number, version: 'TLSv1.2' | 'TLSv1.3'): Promise<string> {
  return new Promise((resolve) => {
    const options = { ca: readFileSync(root.cert), cert: readFileSync(stranger.chain), key: readFileSync(stranger.key) };
    const socket = connect({ host: 'localhost', port, ...options, minVersion: version, maxVersion: version });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('close', () => resolve('closed'));
    socket.resume();
  });
}

/** Clients of every kind are served, and a changed backlog does not disturb them. */
async function servesAll(broker: Broker): Promise<void> {
  const [tcp, ws, tlsPort] = broker.ports as [number, number, number];
  const five = await connected('tcp', tcp, 5);
  await exchange(five, await connected('ws', ws, 4));
  await exchange(await connected('tcp', tcp, 3), await secure(tlsPort, 'TLSv1.2', good));
  await exchange(await connected('ws', ws, 5), await secure(tlsPort, 'TLSv1.3', good));
  const change = await broker.api('POST', '/api/endpoints/update', { port: tcp, serverOptions: { soBacklog: 7 } });
  expect(change.status).toBe(200);
  await exchange(five, await connected('tcp', tcp, 4));
}

const endpoints = [
  { ...OPEN, serverOptions: { workerGroupSize: 2 } },
  { ...OPEN, useWebsocket: true },
  { ...OPEN, sslConfig: { cert: server.cert, key: server.key, ca: root.cert, clientAuth: 'required' } },
];

describe('a Node that lacks pieces with a replacement', () => {
  const GONE = [
    'stream_wrap.ShutdownWrap',
    'net.Server._handle.listen',
    'TLSSocket._parent',
    'tls_wrap.TLSWrap.verifyError',
    'Buffer.latin1Slice',
  ];

  test('is reported in the log and in the health of the node, and serves every kind of client', async () => {
    const broker = await startBroker({ endpoints, ...without(GONE) });
    try {
      const { version, lacking } = await runtimeOf(broker);
      expect(version).toMatch(/^v\d/);
      expect(lacking.map(({ piece }) => piece)).toEqual(GONE);
      const log = await broker.log();
      for (const { piece, instead } of lacking) expect(log).toContain(`Node ${version} lacks ${piece}: ${instead}`);
      await servesAll(broker);
      const tlsPort = broker.ports[2]!;
      expect(await refusal(tlsPort, 'TLSv1.3')).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
      // Without the early verdict there is no alert.
      expect(await refusal(tlsPort, 'TLSv1.2')).toBe('closed');
      const told = 'TLS handshakes failed: client certificate refused: UNABLE_TO_';
      await until('both refusals are logged', async () => (await broker.log()).split(told).length >= 2);
    } finally {
      await broker.stop();
    }
  });
});

test('a machine without a binary of uWebSockets.js tells it, and the built-in transport serves', async () => {
  const broker = await startBroker({ endpoints, ...without(['uWebSockets.js']) });
  try {
    const { lacking, websocketTransports } = await runtimeOf(broker);
    expect(lacking).toEqual([]);
    const reason = `it has no binary for Node's ABI ${process.versions.modules} on ${process.platform} ${process.arch}`;
    expect(websocketTransports).toEqual({ uws: reason });
    expect(await broker.log()).toContain(`uWebSockets.js does not serve here: ${reason}; the built-in transport serves`);
    await servesAll(broker);
  } finally {
    await broker.stop();
  }
});

test('the present Node lacks nothing, and serves the same clients', async () => {
  const broker = await startBroker({ endpoints });
  try {
    const { lacking, websocketTransports } = await runtimeOf(broker);
    expect(lacking).toEqual([]);
    expect(websocketTransports).toEqual(lookForTransports());
    expect(await broker.log()).not.toContain(' lacks ');
    await servesAll(broker);
    const tlsPort = broker.ports[2]!;
    expect(await refusal(tlsPort, 'TLSv1.3')).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
    expect(await refusal(tlsPort, 'TLSv1.2')).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
  } finally {
    await broker.stop();
  }
});

test.each(['pipe_wrap.PipeConnectWrap', 'tcp_wrap.TCP', 'stream_wrap.WriteWrap'])(
  'without %s there is no start, and the reason is printed',
  (piece) => {
    const env = { ...process.env, ...without([piece]).env, FLUXMQ_STORE_STORETYPE: 'MEMORY' };
    const ended = spawnSync(process.execPath, [join(ROOT, 'dist/main.js'), 'start'], {
      cwd: certificateFolder(),
      env,
      encoding: 'utf8',
      timeout: 50_000,
    });
    expect(ended.stderr).toContain(`cannot run fluxmq: it lacks ${piece}`);
    expect(ended.status).toBe(1);
  },
  60_000,
);
