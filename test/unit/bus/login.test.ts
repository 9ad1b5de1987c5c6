/** How a node is let in by a real nats-server, and what it says when it is not: the key to look at, and nothing of a secret. */

import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openNatsBus } from '../../../src/bus/nats/nats-bus.ts';
import type { BusCredentials } from '../../../src/bus/settings.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { type NatsServers, startNats } from '../../kit/nats.ts';
import { NatsOperator } from '../../kit/nats-operator.ts';
import { until } from '../../kit/until.ts';

const ends: (() => Promise<void>)[] = [];
const lines: string[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  lines.length = 0;
});

async function nats(config: string): Promise<NatsServers> {
  const servers = await startNats({ config });
  ends.push(() => servers.stop());
  return servers;
}

/** The result of a first attempt: `in`, or the reason. */
async function attempt(
  servers: { readonly servers: readonly { readonly port: number }[] },
  credentials: Partial<BusCredentials>,
  host = '127.0.0.1',
): Promise<string> {
  const note = (message: string, details?: unknown) => void lines.push(`${message} ${JSON.stringify(details)}`);
  const nobody: BusCredentials = { user: null, password: null, token: null, credsFile: null, tls: null };
  const place = { kind: 'addresses', addresses: servers.servers.map(({ port }) => `${host}:${port}`) } as const;
  const logger = { debug: note, info: note, warn: note, error: note };
  const bus = openNatsBus({ place, credentials: { ...nobody, ...credentials } }, 'test', logger);
  try {
    await until('an outcome', () => bus.state.connected || bus.state.reason !== 'not connected yet', 10_000);
    return bus.state.connected ? 'in' : bus.state.reason;
  } finally {
    await bus.close();
  }
}

test('user and password', async () => {
  const servers = await nats('authorization { user: node, password: open-sesame }');
  expect(await attempt(servers, { user: 'node', password: 'open-sesame' })).toBe('in');
  const reason = await attempt(servers, { user: 'node', password: 'wrong-sesame' });
  expect(reason).toMatch(/^127\.0\.0\.1:\d+: it refuses the login: .*user node \(cluster\.credentials\.user and password\)$/);
  expect(await attempt(servers, {})).toContain('it demands a login');
  expect(await attempt(servers, { token: 'a-wrong-token' })).toContain('cluster.credentials.token');
  expect(lines.join('\n')).toContain('it refuses the login');
  expect(lines.join('\n')).not.toMatch(/sesame|a-wrong/);
});

test('a token', async () => {
  const servers = await nats('authorization { token: open-sesame }');
  expect(await attempt(servers, { token: 'open-sesame' })).toBe('in');
  expect(await attempt(servers, { token: 'wrong-sesame' })).toMatch(/it refuses the login: .* the token of cluster\.credentials\.token$/);
  expect(lines.join('\n')).not.toMatch(/sesame/);
});

test('a credentials file; one that is exchanged is used from the next connection on', async () => {
  const operator = new NatsOperator();
  const servers = await nats(operator.config);
  const folder = certificateFolder();
  const credsFile = join(folder, 'node.creds');
  expect(await attempt(servers, { credsFile })).toBe(`cluster.credentials.credsFile: ${credsFile}: there is no such file`);
  writeFileSync(credsFile, 'SUABRACADABRA');
  expect(await attempt(servers, { credsFile })).toContain(`cluster.credentials.credsFile: ${credsFile} is not a NATS credentials file`);
  const good = operator.credentials();
  const seed = /SU[A-Z2-7]{20,}/.exec(good)![0];
  writeFileSync(credsFile, good.replace(seed, `${seed.slice(0, -1)}1`));
  expect(await attempt(servers, { credsFile })).toContain('is not a NATS credentials file');
  for (const stranger of [operator.credentials(-60_000), new NatsOperator().credentials()]) {
    writeFileSync(credsFile, stranger);
    expect(await attempt(servers, { credsFile })).toMatch(/it refuses the login: .*node\.creds \(cluster\.credentials\.credsFile\)$/);
  }
  writeFileSync(credsFile, good);
  expect(await attempt(servers, { credsFile })).toBe('in');
  if (process.getuid?.() !== 0) {
    chmodSync(credsFile, 0);
    expect(await attempt(servers, { credsFile })).toContain('it may not be read');
  }
  expect(lines.join('\n')).not.toMatch(/ABRACADABRA|SU[A-Z2-7]{20,}|eyJ/);
});

describe('TLS', () => {
  let ours: Authority;
  let theirs: Authority;
  let server: Issued;
  let serverOfLocalhost: Issued;
  beforeAll(() => {
    ours = Authority.root(certificateFolder());
    theirs = Authority.root(certificateFolder());
    server = ours.issue('nats');
    serverOfLocalhost = ours.issue('nats', { kind: 'named' });
  });
  const configOf = ({ cert, key }: Issued, more = '') =>
    `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ours.cert}" ${more} }`;
  const files = (ca: string | null, client: Issued | null = null) => ({ tls: { ca, crt: client?.cert ?? null, key: client?.key ?? null } });

  test("the server's certificate must be of the authority, and for the name or address that is connected to", async () => {
    const servers = await nats(configOf(server));
    for (const host of ['127.0.0.1', 'localhost']) expect(await attempt(servers, files(ours.cert), host)).toBe('in');
    expect(await attempt(servers, files(theirs.cert))).toMatch(
      new RegExp(`its certificate is not trusted: .*compared with ${theirs.cert}\\)$`),
    );
    expect(await attempt(servers, files(null))).toContain('compared with the authorities of Node; cluster.credentials.tls.ca names others');
    // A server that demands TLS gets it without any setting, and is not believed blindly.
    expect(await attempt(servers, {})).toContain('its certificate is not trusted');
    expect(await attempt(servers, files('/nowhere/ca.pem'))).toBe('cluster.credentials.tls.ca: /nowhere/ca.pem: there is no such file');
    const named = await nats(configOf(serverOfLocalhost));
    expect(await attempt(named, files(ours.cert), 'localhost')).toBe('in');
    expect(await attempt(named, files(ours.cert), '127.0.0.1')).toContain("127.0.0.1 is not in the cert's list");
  });

  test('a client certificate', async () => {
    const servers = await nats(configOf(server, ', verify: true'));
    const [good, stranger] = [ours.issue('node', { kind: 'client' }), theirs.issue('node', { kind: 'client' })];
    expect(await attempt(servers, files(ours.cert, good))).toBe('in');
    expect(await attempt(servers, files(ours.cert))).toContain('it may want a client certificate (cluster.credentials.tls.crt)');
    expect(await attempt(servers, files(ours.cert, stranger))).toContain(`is ${stranger.cert} of an authority that it trusts?`);
    expect(await attempt(servers, files(ours.cert, { ...good, key: stranger.key }))).toMatch(
      /cluster\.credentials\.tls cannot be used: .*key values mismatch/,
    );
    expect(lines.join('\n')).not.toContain('PRIVATE KEY');
  });

  test("a server that resets the connection, its alert lost on the way, is not called by the system's code alone", async () => {
    const server = createServer((socket) => {
      socket.write('INFO {"server_id":"N","version":"2.9.10","proto":1,"tls_required":true,"max_payload":1048576}\r\n');
      socket.once('data', () => socket.resetAndDestroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(async () => void server.close());
    const at = { servers: [{ port: (server.address() as AddressInfo).port }] };
    const own = ours.issue('node', { kind: 'client' });
    expect(await attempt(at, files(ours.cert, own))).toContain(`it reset the connection (ECONNRESET): is ${own.cert} of an authority`);
    expect(await attempt(at, files(ours.cert))).toContain('it reset the connection (ECONNRESET): it may want a client certificate');
    expect(await attempt(at, {})).toMatch(/it reset the connection \(ECONNRESET\)$/);
  });

  test('a password does not go to a server that offers no TLS where it is asked for', async () => {
    const servers = await nats('authorization { user: node, password: open-sesame }');
    const reason = await attempt(servers, { user: 'node', password: 'open-sesame', ...files(ours.cert) });
    expect(reason).toContain('it does not offer TLS, which the configuration demands');
  });

  test('beside TLS, a login', async () => {
    const servers = await nats(`${configOf(server)}\nauthorization { token: open-sesame }`);
    expect(await attempt(servers, { token: 'open-sesame', ...files(ours.cert) })).toBe('in');
    expect(await attempt(servers, { token: 'x', ...files(ours.cert) })).toContain('it refuses the login');
  });
});
