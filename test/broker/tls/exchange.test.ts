/** Certificates that are exchanged while clients are connected: by a change, by changed files, with what is bad refused; TLS that is turned on and off. */

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { openSecure, openTcp, openTls, type TransportName } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

/** Files are looked at every 10 s. */
const FILES_MS = 15_000;
const CLIENTS = 500;
const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000, maxConnectionSize: 10_000, serverOptions: { workerGroupSize: 2 } };

const folder = certificateFolder();
const root = Authority.root(folder);
const ca = root.intermediate();
const [first, second, third, wrong] = ['one', 'two', 'three', 'four'].map((name) => ca.issue(name)) as [Issued, Issued, Issued, Issued];
const trust = { ca: readFileSync(root.cert), checkServerIdentity: () => undefined };
/** As Kubernetes mounts a secret: files that are links into a folder that is a link. */
const mounted = join(folder, 'mounted');
let broker: Broker;

/** Puts a pair into the mounted folder in one step. */
function mount(version: string, { chain }: Issued, { key }: Issued): void {
  const target = join(mounted, version);
  mkdirSync(target, { recursive: true });
  copyFileSync(chain, join(target, 'tls.crt'));
  copyFileSync(key, join(target, 'tls.key'));
  symlinkSync(version, join(mounted, '..next'));
  renameSync(join(mounted, '..next'), join(mounted, '..data'));
}

beforeAll(async () => {
  mkdirSync(mounted);
  mount('v1', first, first);
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(mounted, name));
  const sslConfig = { cert: join(mounted, 'tls.crt'), key: join(mounted, 'tls.key') };
  broker = await startBroker({ endpoints: [{ ...OPEN, sslConfig }, { ...OPEN, sslConfig, useWebsocket: true }, { ...OPEN }] });
});

afterAll(async () => {
  destroyAll();
  await broker.stop();
});

const update = (body: Record<string, unknown>) => broker.api('POST', '/api/endpoints/update', body);
const status = async (port: number) => {
  const { body } = await broker.api('GET', `/api/endpoints/status?port=${port}`);
  return (body as { data: { state: string; lastError: string; certificate: Record<string, string> | null }[] }).data[0]!;
};

async function shown(port: number): Promise<string> {
  const socket = await openTls(port, trust);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

async function enter(transport: TransportName, port: number): Promise<RawClient> {
  const raw = RawClient.over(await openSecure(transport, port, trust), 4);
  const connack = await raw.handshake({ clientId: uid('c') });
  expect(connack.code).toBe(0);
  return raw;
}

test(`${CLIENTS} clients stay while the certificate changes by an update, by files, and does not by bad ones`, async () => {
  const [tcp, ws] = broker.ports as [number, number];
  const crowd: RawClient[] = [];
  for (let n = 0; n < CLIENTS / 2; n += 10) {
    const some = Array.from({ length: 10 }, () => [enter('tcp', tcp), enter('ws', ws)]);
    crowd.push(...(await Promise.all(some.flat())));
  }
  expect(await shown(tcp)).toBe('one');

  mount('v2', second, second);
  await until('the new files are used', async () => (await shown(tcp)) === 'two' && (await shown(ws)) === 'two', FILES_MS, 200);
  expect(await status(tcp)).toMatchObject({ state: 'running', certificate: { subject: 'CN=two', refused: null } });

  mount('v3', third, wrong);
  const refusal = async (port: number) => (await status(port)).certificate?.['refused'];
  await until('the bad pair is refused', async () => (await refusal(tcp)) && (await refusal(ws)), FILES_MS, 200);
  expect(await refusal(tcp)).toContain('sslConfig.key does not belong to the certificate CN=three');
  expect(await shown(tcp)).toBe('two');
  // Another change of the endpoint is not hindered by them.
  expect((await update({ port: tcp, maxQueuedMessages: 500 })).status).toBe(200);
  expect(await shown(tcp)).toBe('two');

  const pem = { cert: readFileSync(third.chain, 'utf8'), key: readFileSync(third.key, 'utf8') };
  for (const port of [tcp, ws]) {
    const answer = await update({ port, sslConfig: pem });
    expect(answer).toMatchObject({ status: 200, body: { data: { effect: 'handshake', endpoint: { sslConfig: { key: '******' } } } } });
    expect(await shown(port)).toBe('three');
  }
  // Not by the next look at files either: once for each endpoint and bad content.
  const told = (await broker.log()).split('\n').filter((line) => line.includes('the changed certificate is not used'));
  expect(told).toHaveLength(2);

  const topic = uid('t');
  await crowd[0]!.subscribe(topic, 1);
  await crowd.at(-1)!.publish(topic, 'still here', { qos: 1 });
  expect((await crowd[0]!.expect('publish')).payload.toString()).toBe('still here');
  expect(crowd.filter((each) => each.isClosed)).toEqual([]);
  for (const each of crowd) each.destroy();
}, 60_000);

test('what cannot work is refused, with its key, and nothing has changed', async () => {
  const port = broker.ports[0]!;
  const before = await shown(port);
  const old = ca.issue('old', { from: -10, to: -1 });
  const pem = ({ chain }: Issued, { key }: Issued) => ({ cert: readFileSync(chain, 'utf8'), key: readFileSync(key, 'utf8') });
  const refused = async (sslConfig: Record<string, unknown>, path: string) => {
    for (const route of ['update', 'plan'] as const) {
      const answer = await broker.api('POST', `/api/endpoints/${route}`, {
        ...(route === 'plan' ? { action: 'update' } : {}),
        port,
        sslConfig,
      });
      expect(answer).toMatchObject({ status: 422, body: { error: { issues: [{ path }] } } });
    }
  };
  await refused(pem(first, wrong), 'sslConfig.key');
  await refused(pem(old, old), 'sslConfig.cert');
  await refused({ cert: '/nowhere.pem' }, 'sslConfig.cert');
  await refused({ clientAuth: 'required', ca: root.cert, crl: '-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----' }, 'sslConfig.crl');
  expect((await update({ port, sslConfig: { protocols: ['TLSv1.1'], cipherSuites: ['none'] } })).body).toMatchObject({
    code: 400,
    error: { issues: [{ path: 'sslConfig.protocols' }, { path: 'sslConfig.cipherSuites' }] },
  });
  const valid = await broker.api('POST', '/api/endpoints/validate-config', { port: 1, sslConfig: pem(first, wrong) });
  expect(valid.body).toMatchObject({ data: { valid: false, issues: [{ path: 'sslConfig.key' }] } });
  expect(await shown(port)).toBe(before);
});

test('TLS is turned on and off on the port: clients stay, and nobody is refused', async () => {
  const port = broker.ports[2]!;
  const crowd = [await connected('tcp', port, 5)];
  let attempts = 0;
  let isRunning = true;
  const knocking = (async () => {
    while (isRunning) {
      // Whether it is TLS or not is decided when it is accepted: here it counts that it is.
      (await openTcp(port)).destroy();
      attempts++;
    }
  })();
  const pem = { cert: readFileSync(first.chain, 'utf8'), key: readFileSync(first.key, 'utf8') };
  for (let n = 0; n < 4; n++) {
    expect(await update({ port, sslConfig: pem })).toMatchObject({ status: 200, body: { data: { effect: 'rebind' } } });
    crowd.push(await enter('tcp', port));
    expect((await update({ port, sslConfig: null })).status).toBe(200);
    crowd.push(await connected('tcp', port, 5));
  }
  isRunning = false;
  await knocking;
  expect(attempts).toBeGreaterThan(10);
  expect(crowd.filter((each) => each.isClosed)).toEqual([]);
  expect((await update({ port, useWebsocket: true })).status).toBe(200);
  crowd.push(await connected('ws', port, 5));
  expect((await update({ port, sslConfig: pem })).status).toBe(200);
  crowd.push(await enter('ws', port));
  expect(crowd.filter((each) => each.isClosed)).toEqual([]);
  for (const each of crowd) each.destroy();
});

test('tells when a certificate ends: in the answer, in status, as a metric, and in the log', async () => {
  const port = await freePort();
  const soon = ca.issue('soon', { to: 12 });
  const added = await broker.api('POST', '/api/endpoints/add', { port, host: '127.0.0.1', sslConfig: { cert: soon.chain, key: soon.key } });
  expect(JSON.stringify(added.body)).toContain('the certificate CN=soon expires in 11 days');
  const { certificate } = await status(port);
  expect(certificate).toMatchObject({ subject: 'CN=soon', issuer: 'CN=intermediate', crlNextUpdate: null });
  expect(Date.parse(certificate!['notAfter']!) - Date.now()).toBeGreaterThan(11 * 86_400_000);
  const text = String((await broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`)).body);
  const seconds = Number(/^fluxmq_endpoint_certificate_expiry_seconds\{.*\} (\d+)$/m.exec(text)?.[1]);
  expect(Math.round(seconds / 86_400)).toBe(12);
  await until('the log tells', async () => (await broker.log()).includes('CN=soon expires in 11 days'), FILES_MS, 200);
});

test('health answers for every kind of TLS', async () => {
  const authority = { clientAuth: 'required', ca: root.cert, cert: first.chain, key: first.key };
  for (const sslConfig of [authority, { ...authority, protocols: ['TLSv1.2'] }, { ...authority, clientAuth: 'none' }]) {
    for (const useWebsocket of [false, true]) {
      const port = await freePort();
      const added = await broker.api('POST', '/api/endpoints/add', { port, host: '127.0.0.1', enableAuth: false, useWebsocket, sslConfig });
      expect(added.status).toBe(200);
      const health = await broker.api('GET', `/api/endpoints/health?port=${port}`);
      expect(health).toMatchObject({ status: 200, body: { data: [{ healthy: true, nodes: [{ reason: null }] }] } });
    }
  }
});

test('an endpoint whose certificate is missing at the start is failed, and heals when it is there', async () => {
  const dir = certificateFolder();
  const [cert, key] = [join(dir, 'late.pem'), join(dir, 'late.key')];
  copyFileSync(first.chain, cert);
  copyFileSync(first.key, key);
  const other = await startBroker({ endpoints: [{ ...OPEN, sslConfig: { cert, key } }, { ...OPEN }] });
  const [port, plain] = other.ports as [number, number];
  await other.stop();
  rmSync(key);
  const again = await startBroker({ dir: other.dir });
  const state = async () =>
    ((await again.api('GET', `/api/endpoints/status?port=${port}`)).body as { data: { state: string; lastError: string }[] }).data[0]!;
  expect(await state()).toMatchObject({ state: 'failed', lastError: expect.stringContaining('sslConfig.key cannot be read') });
  (await connected('tcp', plain, 5)).destroy();
  writeFileSync(key, readFileSync(first.key));
  await until('it heals', async () => (await state()).state === 'running', FILES_MS, 100);
  (await enter('tcp', port)).destroy();
  await again.stop();
}, 40_000);
