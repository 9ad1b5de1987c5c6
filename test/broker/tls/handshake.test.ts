/** MQTT over TLS and over WebSocket with TLS: who gets in, who does not, and what is counted and told. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { mosquittoPub } from '../../kit/mosquitto.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { openSecure, openTls, type TransportName, upgrade } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const folder = certificateFolder();
const root = Authority.root(folder);
const ca = root.intermediate();
const server = ca.issue('localhost');
const client = ca.issue('sensor-1', { kind: 'client' });
const revoked = ca.issue('sensor-2', { kind: 'client' });
ca.revoke(revoked);
const stranger = Authority.root(folder, 'stranger').issue('sensor-3', { kind: 'client' });
const cas = join(folder, 'cas.pem');
writeFileSync(cas, readFileSync(root.cert, 'utf8') + readFileSync(ca.cert, 'utf8'));
const lists = join(folder, 'lists.pem');
writeFileSync(lists, root.crl() + ca.crl());

const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const MUTUAL = { cert: server.chain, key: server.key, ca: cas, crl: lists };
const LANES: [TransportName, number, number, number][] = [
  ['tcp', 0, 1, 2],
  ['ws', 3, 4, 5],
];
let broker: Broker;

beforeAll(async () => {
  const three = [
    { ...OPEN, sslConfig: { cert: server.chain, key: server.key } },
    { ...OPEN, sslConfig: { ...MUTUAL, clientAuth: 'required' } },
    { ...OPEN, sslConfig: { ...MUTUAL, clientAuth: 'optional' }, serverOptions: { workerGroupSize: 2 } },
  ];
  broker = await startBroker({ endpoints: [...three, ...three.map((endpoint) => ({ ...endpoint, useWebsocket: true }))] });
});

afterAll(async () => {
  destroyAll();
  await broker.stop();
});

const trust = () => ({ ca: readFileSync(root.cert) });
const identity = ({ chain, key }: Issued) => ({ ...trust(), cert: readFileSync(chain), key: readFileSync(key) });

/** A connected client. @throws Error when it is not let in */
async function enter(transport: TransportName, index: number, options: Parameters<typeof openSecure>[2]): Promise<RawClient> {
  const raw = RawClient.over(await openSecure(transport, broker.ports[index]!, options), 5);
  const connack = await raw.handshake({ clientId: uid('c') });
  expect(connack.code).toBe(0);
  return raw;
}

/** Resolves when the broker ends it or refuses the handshake; rejects when it is let in. */
async function refused(transport: TransportName, index: number, options: Parameters<typeof openSecure>[2]): Promise<void> {
  const opened = await openSecure(transport, broker.ports[index]!, options).then(
    (connection) => RawClient.over(connection, 5),
    () => null,
  );
  if (opened === null) return;
  const answer = await opened.handshake({ clientId: uid('c') }).catch(() => null);
  expect(answer).toBeNull();
  expect(opened.isClosed).toBe(true);
}

/** A number of `GET metrics`, by endpoint. */
async function counted(name: string, port: number): Promise<number> {
  const text = String((await broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`)).body);
  const line = text.split('\n').find((each) => each.startsWith(`fluxmq_endpoint_${name}`));
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}
const failures = (code: string, port: number) =>
  counted(`connection_errors_total{port="${port}",endpoint="mqtt-${port}",error_code="${code}"}`, port);

describe.each(LANES)('over %s', (transport, plain, required, optional) => {
  test('carries messages of every size, both ways and fragmented', async () => {
    const raw = await enter(transport, plain, trust());
    const topic = uid('t');
    await raw.subscribe(topic, 1);
    for (const size of [1, 1000, 100_000, 3_000_000]) {
      const payload = Buffer.alloc(size, size & 0xff);
      await raw.publish(topic, payload, { qos: 1 });
      const got = await raw.expect('publish', 10_000);
      expect(got.payload.equals(payload)).toBe(true);
    }
    raw.destroy();
  });

  test('takes a certificate of its authority, and no other, where one is required', async () => {
    (await enter(transport, required, identity(client))).destroy();
    const port = broker.ports[required]!;
    const before = await failures('tls_client_certificate', port);
    await refused(transport, required, trust());
    await refused(transport, required, identity(revoked));
    await refused(transport, required, identity(stranger));
    await until('the failures are counted', async () => (await failures('tls_client_certificate', port)) === before + 3);
    await until('no place is kept', async () => (await counted('connections_current', port)) === 0);
    const told = (line: string) => line.includes(`Endpoint ${port}: TLS handshakes failed`) && line.includes('certificate');
    await until('the log tells', async () => (await broker.log()).split('\n').some(told));
  });

  test('takes clients without a certificate where it is optional, but none with a bad one', async () => {
    (await enter(transport, optional, trust())).destroy();
    (await enter(transport, optional, identity(client))).destroy();
    await refused(transport, optional, identity(revoked));
    await refused(transport, optional, identity(stranger));
  });

  test('offers nothing older than TLS 1.2', async () => {
    const old = { ...trust(), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    await expect(openTls(broker.ports[plain]!, old)).rejects.toThrow(/protocol|handshake/);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      (await enter(transport, plain, { ...trust(), minVersion: version, maxVersion: version })).destroy();
    }
    // The same with a foreign implementation.
    const said = (flag: string): string => {
      const { stdout, stderr } = spawnSync(
        'openssl',
        ['s_client', '-connect', `127.0.0.1:${broker.ports[plain]}`, '-CAfile', root.cert, '-verify_return_error', flag],
        { encoding: 'utf8', input: '' },
      );
      return stdout + stderr;
    };
    expect(said('-tls1_2')).toContain('Verify return code: 0 (ok)');
    expect(said('-tls1_1')).toContain('alert protocol version');
  });

  test('ends what is no handshake, and keeps no place for it', async () => {
    const port = broker.ports[plain]!;
    const before = await failures('tls_handshake', port);
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('\x10\x0c\x00\x04MQTT\x04\x02\x00\x00');
    await new Promise((resolve) => socket.once('close', resolve));
    const rude = connectTcp(port, '127.0.0.1', () => rude.resetAndDestroy());
    rude.on('error', () => undefined);
    await until('both are counted', async () => (await failures('tls_handshake', port)) >= before + 2);
    await until('no place is kept', async () => (await counted('connections_current', port)) === 0);
  });

  test('refuses who is over the limits before any handshake', async () => {
    const port = broker.ports[plain]!;
    const first = await enter(transport, plain, trust());
    const set = (maxConnectionSize: number) => broker.api('POST', '/api/endpoints/update', { port, maxConnectionSize });
    expect((await set(1)).status).toBe(200);
    const before = await failures('tls_handshake', port);
    await expect(openTls(port, trust())).rejects.toThrow();
    expect(await failures('connection_limit', port)).toBe(1);
    expect(await failures('tls_handshake', port)).toBe(before);
    first.destroy();
    await until('there is room again', async () => (await counted('connections_current', port)) === 0);
    (await enter(transport, plain, trust())).destroy();
    expect((await set(1000)).status).toBe(200);
  });

  test('MQTT.js speaks with it', async () => {
    const url = `${transport === 'tcp' ? 'mqtts' : 'wss'}://localhost:${broker.ports[required]}/mqtt`;
    const options = { ...identity(client), protocolVersion: 5, reconnectPeriod: 0, family: 4 } as const;
    const js = await connectAsync(url, transport === 'tcp' ? options : { ...options, wsOptions: { ...identity(client), family: 4 } });
    const topic = uid('t');
    await js.subscribeAsync(topic, { qos: 2 });
    const got = new Promise<string>((resolve) => js.on('message', (_topic, payload) => resolve(payload.toString())));
    await js.publishAsync(topic, 'from MQTT.js', { qos: 2 });
    expect(await got).toBe('from MQTT.js');
    await js.endAsync();
  });
});

test('ends who does not come to the point: no handshake, a drop now and then, no upgrade', async () => {
  const slow = (index: number) => {
    const socket = connectTcp(broker.ports[index]!, '127.0.0.1');
    socket.on('error', () => undefined);
    return socket;
  };
  const dripping = slow(0);
  const drops = setInterval(
    () => dripping.write(dripping.bytesWritten === 0 ? '\x16\x03\x01\x02\x00\x01\x00\x01\xfc' : '\x03', 'latin1'),
    500,
  );
  const sockets = [dripping, slow(3), await openTls(broker.ports[3]!, trust()), await openTls(broker.ports[0]!, trust())];
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve))));
  clearInterval(drops);
  for (const index of [0, 3]) {
    const port = broker.ports[index]!;
    await until('the slow handshake is counted', async () => (await failures('tls_timeout', port)) === 1);
    await until('no place is kept', async () => (await counted('connections_current', port)) === 0);
  }
}, 30_000);

test('mosquitto_pub gets in with its certificate, and not without', async () => {
  const port = broker.ports[1]!;
  const args = ['-t', uid('t'), '-m', 'x', '-q', '1', '--cafile', root.cert];
  expect(await mosquittoPub(port, [...args, '--cert', client.chain, '--key', client.key])).toBe(0);
  expect(await mosquittoPub(port, args)).not.toBe(0);
});

test('another path, another subprotocol and plain HTTP are answered over WSS as over WS', async () => {
  const port = broker.ports[3]!;
  const status = async (options: Parameters<typeof upgrade>[1]) => (await upgrade(await openTls(port, trust()), options)).status;
  expect(await status({ path: '/other' })).toBe(404);
  expect(await status({ protocol: 'chat' })).toBe(400);
  expect(await status({ protocol: null })).toBe(400);
  const socket = await openTls(port, trust());
  socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n');
  const answer = await new Promise<string>((resolve) => socket.once('data', (bytes) => resolve(bytes.toString())));
  expect(answer).toMatch(/^HTTP\/1.1 426 /);
  await until('no place is kept', async () => (await counted('connections_current', port)) === 0);
});
