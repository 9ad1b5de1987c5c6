/** The `jwt` authenticator in the broker: tokens as password and as user name, keys of a set, the end of a token, no token in the log. */

import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, expect, test } from 'vitest';
import { json, startAuthServer } from '../../kit/auth-server.ts';
import type { Version } from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid } from '../../kit/until.ts';

const SECRET = 'the-secret-of-the-tokens-is-not-shown';
const sign = (claims: Record<string, unknown>) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET));
const { publicKey, privateKey } = await generateKeyPair('ES256');
const issuer = await startAuthServer(async (response) => json(response, { keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] }));
const signByKey = (claims: Record<string, unknown>) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(privateKey);
afterAll(() => issuer.close());

const held = useBroker(() => ({
  endpoints: [
    {
      authConfig: [
        { authType: 'jwt', secret: SECRET, claims: { sub: '${username}' } },
        { authType: 'jwt', jwksUrl: `http://127.0.0.1:${issuer.port}/`, usernameClaim: 'sub', cacheSeconds: 60 },
        { authType: 'fixed', users: [{ username: 'local', password: 'word' }] },
      ],
      aclConfig: { default: 'deny', rules: [{ permission: 'allow', subject: { type: 'all' }, action: 'pubsub', topic: 'of/${username}' }] },
    },
    { useWebsocket: true, authType: 'jwt', authConfig: { secret: SECRET, from: 'username' } },
  ],
}));

async function code(endpoint: number, username: string, password: string | null, version: Version = 5) {
  const client = await RawClient.open(endpoint === 1 ? 'ws' : 'tcp', held.broker.ports[endpoint]!, version);
  try {
    return (await client.handshake({ clientId: uid('c'), username, ...(password === null ? {} : { password }) })).code;
  } finally {
    client.destroy();
  }
}

test.each([5, 4, 3] as Version[])('MQTT %i: tokens of two issuers and local users in one chain', async (version) => {
  const wrong = version === 5 ? 0x86 : 4;
  expect(await code(0, 'ann', await sign({ sub: 'ann' }), version)).toBe(0);
  expect(await code(0, 'bob', await sign({ sub: 'ann' }), version)).toBe(wrong);
  expect(await code(0, 'any', await signByKey({ sub: 'eve' }), version)).toBe(0);
  expect(await code(0, 'local', 'word', version)).toBe(0);
  expect(await code(0, 'local', 'no', version)).toBe(wrong);
  expect(issuer.asked).toHaveLength(1);
});

test('the name of a claim is the name that rules see', async () => {
  const client = await connected('tcp', held.broker.ports[0]!, 5, {
    username: 'any',
    password: await signByKey({ sub: 'eve', acl: [{ permission: 'allow', topic: 'more' }] }),
  });
  const filters = ['of/eve', 'of/any', 'more'].map((filter) => ({ filter, qos: 0 as const }));
  expect((await client.subscribeRaw(filters)).codes).toEqual([0, 0x87, 0]);
});

test('a token that ends takes its client with it, also one that was kept', async () => {
  const token = await signByKey({ sub: 'eve', exp: Date.now() / 1000 + 2 });
  const clients = await Promise.all([1, 2].map(() => connected('tcp', held.broker.ports[0]!, 5, { username: 'x', password: token })));
  for (const client of clients)
    expect((await client.closed()).map((packet) => (packet.type === 'disconnect' ? packet.code : packet.type))).toEqual([0x87]);
  expect(await code(0, 'x', token)).toBe(0x86);
});

test('a token as user name, and none in the log or in answers', async () => {
  const good = await sign({ sub: 'ann' });
  const client = await connected('ws', held.broker.ports[1]!, 5, { username: good });
  const { body } = await held.broker.api('GET', '/api/clients');
  expect(JSON.stringify(body)).toContain('"username":"ann"');
  const bad = await sign({ sub: 'ann', exp: 1 });
  expect(await code(1, bad, null)).toBe(0x86);
  await client.ping();
  const texts = [await held.broker.log(), JSON.stringify(body), JSON.stringify((await held.broker.api('GET', '/api/endpoints/list')).body)];
  for (const secret of [good, bad, SECRET]) for (const text of texts) expect(text.includes(secret)).toBe(false);
  expect(texts[0]).toContain('Auth failed on Endpoint');
});
