/** A client certificate that is refused: the alert that names the reason, a line in the log, a count, and no place kept (issue 10). */

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { openSecure } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const folder = certificateFolder();
const root = Authority.root(folder);
const ca = root.intermediate();
const server = ca.issue('localhost');
const good = ca.issue('sensor-1', { kind: 'client' });
const revoked = ca.issue('sensor-2', { kind: 'client' });
ca.revoke(revoked);
const expired = ca.issue('sensor-4', { kind: 'client', from: -10, to: -1 });
const early = ca.issue('sensor-5', { kind: 'client', from: 2, to: 9 });
const wrongUse = ca.issue('sensor-6', { kind: 'server' });
const stranger = Authority.root(folder, 'stranger').issue('sensor-3', { kind: 'client' });
const cas = join(folder, 'cas.pem');
writeFileSync(cas, readFileSync(root.cert, 'utf8') + readFileSync(ca.cert, 'utf8'));
const lists = join(folder, 'lists.pem');
writeFileSync(lists, root.crl() + ca.crl());

const mutual = (clientAuth: string) => ({
  enableAuth: false,
  maxConnectionPerSecond: 100_000,
  sslConfig: { cert: server.chain, key: server.key, ca: cas, crl: lists, clientAuth },
});
let broker: Broker;

beforeAll(async () => {
  broker = await startBroker({
    endpoints: [
      mutual('required'),
      { ...mutual('optional'), serverOptions: { workerGroupSize: 2 } },
      { ...mutual('required'), useWebsocket: true },
      { ...mutual('optional'), useWebsocket: true },
    ],
  });
});

afterAll(async () => {
  destroyAll();
  await broker.stop();
});

type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** The number of the alert that openssl reports, or null. */
function alertTo(port: number, version: TlsVersion, identity: Issued | null, ...more: string[]): Promise<number | null> {
  const shown = identity === null ? [] : ['-cert', identity.cert, '-cert_chain', identity.chain, '-key', identity.key];
  const flag = version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3';
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', root.cert, flag, ...shown, ...more];
  return new Promise((resolve) => {
    const child = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    // With its input open it waits for the server.
    const timer = setTimeout(() => child.kill(), 8_000);
    child.once('exit', () => {
      clearTimeout(timer);
      const number = /SSL alert number (\d+)/.exec(said)?.[1];
      resolve(number === undefined ? null : Number(number));
    });
  });
}

async function count(port: number): Promise<number> {
  const text = String((await broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`)).body);
  const line = text.split('\n').find((each) => each.includes('connection_errors_total') && each.includes('"tls_client_certificate"'));
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}

const CASES: [string, Issued | null, number, number, string][] = [
  ['revoked', revoked, 44, 44, 'CERT_REVOKED'],
  ['expired', expired, 45, 45, 'CERT_HAS_EXPIRED'],
  ['not valid yet', early, 42, 42, 'CERT_NOT_YET_VALID'],
  ['of an unknown authority', stranger, 48, 48, 'UNABLE_TO_'],
  ['for servers', wrongUse, 43, 43, 'INVALID_PURPOSE'],
  ['missing', null, 40, 116, 'none was presented'],
];

describe.each([
  ['MQTTS, required', 0],
  ['MQTTS, optional', 1],
  ['WSS, required', 2],
  ['WSS, optional', 3],
] as const)('%s', (name, index) => {
  const isRequired = name.endsWith('required');

  test.each(CASES.filter(([, identity]) => isRequired || identity !== null))('%s', async (_what, identity, alert12, alert13, reason) => {
    const port = broker.ports[index]!;
    const before = await count(port);
    expect(await alertTo(port, 'TLSv1.2', identity)).toBe(alert12);
    expect(await alertTo(port, 'TLSv1.3', identity)).toBe(alert13);
    await until('both are counted', async () => (await count(port)) === before + 2);
    const told = `Endpoint ${port}: TLS handshakes failed: client certificate refused: ${reason}`;
    const isTold = (line: string) => line.includes(told) && line.includes('127.0.0.1');
    await until('the log tells', async () => (await broker.log()).split('\n').some(isTold));
  });

  test('has an alert for each cipher suite of TLS 1.3', async () => {
    for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
      expect(await alertTo(broker.ports[index]!, 'TLSv1.3', stranger, '-ciphersuites', suite)).toBe(48);
    }
  });

  test('a good one comes in, and comes back with its session, in both versions', async () => {
    const options = { ca: readFileSync(root.cert), cert: readFileSync(good.chain), key: readFileSync(good.key) };
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const transport = index < 2 ? 'tcp' : 'ws';
      const raw = RawClient.over(
        await openSecure(transport, broker.ports[index]!, { ...options, minVersion: version, maxVersion: version }),
        5,
      );
      expect((await raw.handshake({ clientId: uid('c') })).code).toBe(0);
      await raw.disconnect();
      const session = await sessionOf(broker.ports[index]!, { ...options, minVersion: version, maxVersion: version });
      const again = connect({
        host: 'localhost',
        port: broker.ports[index]!,
        ...options,
        minVersion: version,
        maxVersion: version,
        session,
      });
      await new Promise<void>((resolve, reject) => again.once('secureConnect', resolve).once('error', reject));
      expect(again.isSessionReused()).toBe(true);
      // An accepted client stays open; a refused one would be closed by now.
      await expect(ended(again, 300)).resolves.toBe(false);
      again.destroy();
    }
  });

  test('keeps no place', async () => {
    const port = broker.ports[index]!;
    await until('nobody is connected', async () => {
      const text = String((await broker.api('GET', `/api/endpoints/metrics?port=${port}&format=prometheus`)).body);
      return text.split('\n').some((line) => line.startsWith('fluxmq_endpoint_connections_current{') && line.endsWith(' 0'));
    });
  });
});

function sessionOf(port: number, options: Parameters<typeof connect>[1]): Promise<Buffer> {
  const socket = connect({ host: 'localhost', port, ...options });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('session', (session) => {
      resolve(session);
      socket.destroy();
    });
  });
}

/** Whether the server ends it within this time. */
function ended(socket: TLSSocket, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ms);
    for (const event of ['end', 'close', 'error']) socket.once(event, () => resolve(true));
    socket.resume();
  });
}
