/** The `x509` authenticator over TCP and WebSocket: the name of a verified certificate is the user, and the client identifier if wanted. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { json, startAuthServer } from '../../kit/auth-server.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { openSecure, type TransportName } from '../../kit/transport.ts';
import { uid } from '../../kit/until.ts';

const folder = certificateFolder();
const root = Authority.root(folder);
const server = root.issue('localhost');
const device = root.issue('device-1', { kind: 'client' });
const forged = Authority.root(folder, 'stranger').issue('device-1', { kind: 'client' });
const cas = join(folder, 'cas.pem');
writeFileSync(cas, readFileSync(root.cert));
const service = await startAuthServer((response, { url }) => json(response, { result: url === '/device-1' ? 'allow' : 'deny' }));
afterAll(() => service.close());

const tls = { cert: server.chain, key: server.key, ca: cas, clientAuth: 'optional' };
const held = useBroker(() => {
  const endpoint = {
    sslConfig: tls,
    authConfig: [
      { authType: 'x509', asClientId: true },
      { authType: 'fixed', users: [{ username: 'local', password: 'word' }] },
    ],
    aclConfig: {
      default: 'deny',
      rules: [
        { permission: 'allow', subject: { type: 'user', value: 'device-1' }, topic: '${clientId}/#' },
        { permission: 'allow', subject: { type: 'certificate', value: 'device-1' }, topic: 'of/${certCommonName}' },
      ],
    },
  };
  const asked = {
    sslConfig: tls,
    authType: 'http',
    authConfig: { method: 'GET', url: `http://127.0.0.1:${service.port}/\${certCommonName}` },
  };
  return { endpoints: [endpoint, { ...endpoint, useWebsocket: true }, asked, { ...asked, useWebsocket: true }] };
});

async function open(transport: TransportName, index: number, identity: Issued | null, version: 4 | 5 = 5): Promise<RawClient> {
  const own = identity === null ? {} : { cert: readFileSync(identity.chain), key: readFileSync(identity.key) };
  return RawClient.over(await openSecure(transport, held.broker.ports[index]!, { ca: readFileSync(root.cert), ...own }), version);
}

describe.each([
  ['tcp', 0],
  ['ws', 1],
] as [TransportName, number][])('%s', (transport, index) => {
  test('a certificate lets its client in under its own names, whatever CONNECT says', async () => {
    for (const version of [5, 4] as const) {
      const client = await open(transport, index, device, version);
      expect((await client.handshake({ clientId: 'somebody', username: 'admin', password: 'x' })).code).toBe(0);
      const filters = ['device-1/a', 'of/device-1', 'somebody/a'].map((filter) => ({ filter, qos: 0 as const }));
      expect((await client.subscribeRaw(filters)).codes).toEqual([0, 0, version === 5 ? 0x87 : 0x80]);
      const { body } = await held.broker.api('GET', '/api/clients');
      const { data } = (body as { data: { data: object[] } }).data;
      expect(data).toContainEqual(expect.objectContaining({ clientId: 'device-1', username: 'device-1' }));
      // The identifier is one of a device: the next connection takes it over.
      const next = await open(transport, index, device, 5);
      const connack = await next.handshake({ clientId: '' });
      expect([connack.code, connack.properties.assignedClientId]).toEqual([0, 'device-1']);
      expect((await client.closed()).map((packet) => (packet.type === 'disconnect' ? packet.code : packet.type))).toEqual(
        version === 5 ? [0x8e] : [],
      );
      await next.disconnect();
      await next.closed();
    }
  });

  test('a client without a certificate is left to the next authenticator', async () => {
    const local = await open(transport, index, null);
    expect((await local.handshake({ clientId: uid('c'), username: 'local', password: 'word' })).code).toBe(0);
    const nobody = await open(transport, index, null);
    expect((await nobody.handshake({ clientId: uid('c'), username: 'device-1', password: 'x' })).code).toBe(0x86);
    local.destroy();
  });

  test('a certificate of a stranger with the name of a device lets nobody in', async () => {
    const codeOf = async (client: RawClient) => (await client.handshake({ clientId: uid('c') })).code;
    const outcome = await open(transport, index, forged)
      .then(codeOf, () => 'refused')
      .catch(() => 'closed');
    expect(['refused', 'closed']).toContain(outcome);
  });

  test('a web service learns the common name', async () => {
    const client = await open(transport, index + 2, device);
    expect((await client.handshake({ clientId: uid('c') })).code).toBe(0);
    const other = await open(transport, index + 2, null);
    expect((await other.handshake({ clientId: uid('c'), username: 'u' })).code).toBe(0x86);
    client.destroy();
  });
});
