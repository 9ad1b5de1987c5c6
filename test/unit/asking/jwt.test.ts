/** Tokens: signatures, algorithms, claims, rights, and sets of keys that change, go away and come back. */

import { generateKeyPairSync } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import type { AskWho } from '../../../src/thread/access/ask.ts';
import { openJwtAsker } from '../../../workers/task/asking/jwt/jwt-asker.ts';
import { json, startAuthServer } from '../../kit/auth-server.ts';

const SECRET = 'a secret of thirty-two bytes, or so';
const secretKey = new TextEncoder().encode(SECRET);
const now = () => Math.floor(Date.now() / 1000);
const ignore = { result: 'ignore' };
const deny = { result: 'deny' };
const allow = { result: 'allow' };

async function askerOf(config: Record<string, unknown>) {
  const [entry] = parseAuthList([{ authType: 'jwt', ...config }]);
  if (entry?.authType !== 'jwt') throw new Error('not jwt');
  const asker = await openJwtAsker(entry);
  const never = new AbortController().signal;
  return {
    ask: (token: string | null, facts: Partial<AskWho> = {}) =>
      asker.ask(
        {
          clientId: 'c',
          username: 'u',
          password: token === null ? null : Buffer.from(token),
          ip: '192.0.2.1',
          endpoint: 'e',
          namespace: 'n',
          certCommonName: null,
          ...facts,
        },
        never,
      ),
    close: () => asker.close(),
  };
}

const sign = (claims: Record<string, unknown>, alg = 'HS256', key: Parameters<SignJWT['sign']>[0] = secretKey, kid?: string) =>
  new SignJWT(claims).setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) }).sign(key);

describe('a secret', () => {
  test('a right token is allowed; what is no token of this issuer is left to others', async () => {
    const { ask } = await askerOf({ secret: SECRET });
    expect(await ask(await sign({}))).toEqual(allow);
    expect(await ask(await sign({}, 'HS512'))).toEqual(allow);
    const other = await sign({}, 'HS256', new TextEncoder().encode('another secret of thirty-two bytes'));
    const [head, body] = (await sign({ sub: 'u' })).split('.');
    const forged = Buffer.from('{"sub":"admin"}').toString('base64url');
    const signature = (await sign({ sub: 'u' })).split('.')[2];
    const unsigned = new UnsecuredJWT({}).encode();
    for (const token of [
      null,
      '',
      'password',
      'a.b',
      'a.b.c',
      '..',
      other,
      `${head}.${body}.`,
      `${head}.${forged}.${signature}`,
      unsigned,
      'x'.repeat(60_000),
    ])
      expect([token?.slice(0, 20), await ask(token)]).toEqual([token?.slice(0, 20), ignore]);
  });

  test('only the listed algorithms count, and a public key is no secret', async () => {
    const { ask } = await askerOf({ secret: SECRET, algorithms: ['HS512'] });
    expect(await ask(await sign({}))).toEqual(ignore);
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const byKey = await askerOf({ publicKey: pem });
    expect(await byKey.ask(await sign({}, 'RS256', privateKey))).toEqual(allow);
    expect(await byKey.ask(await sign({}, 'PS512', privateKey))).toEqual(allow);
    expect(await byKey.ask(await sign({}, 'HS256', new TextEncoder().encode(pem)))).toEqual(ignore);
  });

  test('base64 secrets', async () => {
    const { ask } = await askerOf({ secret: Buffer.from(SECRET).toString('base64'), secretEncoding: 'base64' });
    expect(await ask(await sign({}))).toEqual(allow);
  });
});

describe('claims', () => {
  test.each([
    [{ exp: now() - 1 }, deny],
    [{ exp: Date.now() / 1000 - 0.001 }, deny],
    [{ nbf: now() + 60 }, deny],
    [{ exp: 'soon' }, deny],
    [{ iss: 'other' }, deny],
    [{ iss: undefined }, deny],
    [{ aud: 'other' }, deny],
    [{ aud: ['other', 'mqtt'] }, allow],
    [{ sub: 'v' }, deny],
    [{ sub: undefined }, deny],
    [{ sub: ['v', 'u'] }, allow],
    [{ sub: { u: 'u' } }, deny],
    [{ dev: 'c' }, deny],
    [{ tenant: 'n-2' }, deny],
    [{}, allow],
  ])('%j', async (claims, wanted) => {
    const { ask } = await askerOf({
      secret: SECRET,
      issuer: 'me',
      audience: 'mqtt',
      claims: { sub: '${username}', dev: '${clientId}-1', tenant: '${namespace}-1' },
    });
    expect(await ask(await sign({ iss: 'me', aud: 'mqtt', sub: 'u', dev: 'c-1', tenant: 'n-1', ...claims }))).toEqual(wanted);
  });

  test('a fact that the client lacks meets no claim', async () => {
    const { ask } = await askerOf({ secret: SECRET, claims: { cn: '${certCommonName}' } });
    for (const cn of ['', 'null', null, undefined]) expect(await ask(await sign({ cn }))).toEqual(deny);
    expect(await ask(await sign({ cn: 'dev-1' }), { certCommonName: 'dev-1' })).toEqual(allow);
  });

  test('clocks may differ by clockTolerance', async () => {
    const { ask } = await askerOf({ secret: SECRET, clockTolerance: 30 });
    expect(await ask(await sign({ nbf: now() + 20 }))).toEqual(allow);
    expect(await ask(await sign({ exp: now() - 31 }))).toEqual(deny);
  });

  test('the end of the token is the end of the login, unless disconnectAfterExpire is off', async () => {
    const exp = now() + 60;
    const token = await sign({ exp });
    expect(await (await askerOf({ secret: SECRET })).ask(token)).toEqual({ ...allow, expireAt: exp * 1000, keepUntil: exp * 1000 });
    expect(await (await askerOf({ secret: SECRET, disconnectAfterExpire: false })).ask(token)).toEqual({ ...allow, keepUntil: exp * 1000 });
  });

  test('the user name comes from a claim; a token never becomes the name', async () => {
    const named = await askerOf({ secret: SECRET, usernameClaim: 'name' });
    expect(await named.ask(await sign({ name: 'ann' }))).toEqual({ ...allow, username: 'ann' });
    for (const name of [undefined, '', 7]) expect(await named.ask(await sign({ name }))).toEqual(deny);
    const inName = await askerOf({ secret: SECRET, from: 'username' });
    expect(await inName.ask(null, { username: await sign({ sub: 'ann' }) })).toEqual({ ...allow, username: 'ann' });
    expect(await inName.ask(null, { username: await sign({}) })).toEqual({ ...allow, username: null });
    expect(await inName.ask(await sign({}), { username: 'u' })).toEqual(ignore);
  });

  test('rights, in both forms of EMQX; unreadable ones deny', async () => {
    const { ask } = await askerOf({ secret: SECRET });
    expect(await ask(await sign({ acl: [{ permission: 'allow', action: 'subscribe', topic: 'eq a/#' }], is_superuser: false }))).toEqual({
      ...allow,
      rights: {
        isSuperuser: false,
        rules: [{ permission: 'allow', subject: { type: 'all', value: '*' }, action: 'subscribe', topic: 'eq:a/#' }],
      },
    });
    expect(await ask(await sign({ acl: { sub: ['a'] }, isSuperuser: true }))).toMatchObject({
      rights: { isSuperuser: true, rules: { length: 3 } },
    });
    expect(await ask(await sign({ groups: ['staff'] }))).toMatchObject({ rights: { rules: [], groups: ['staff'] } });
    for (const claims of [
      { acl: 'x' },
      { acl: [7] },
      { acl: { sub: 'a' } },
      { isSuperuser: 'true' },
      { isSuperuser: 1 },
      { groups: 'staff' },
      { acl: [{ permission: 'allow', topic: 'a', qos: ['1'] }] },
    ])
      expect(await ask(await sign(claims))).toEqual(deny);
    expect(await ask(await sign({ isSuperuser: true, is_superuser: false }))).toEqual(allow);
  });
});

describe('a set of keys', async () => {
  let published: unknown = { keys: [] };
  let isUp = true;
  const server = await startAuthServer((response) => (isUp ? json(response, published) : json(response, {}, 500)));
  afterAll(() => server.close());
  const jwksUrl = `http://127.0.0.1:${server.port}/keys`;
  const pair = async (kid: string, alg = 'ES256') => {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    return {
      jwk: { ...(await exportJWK(publicKey)), kid, alg },
      token: () => sign({}, alg, privateKey, kid),
      nameless: () => sign({}, alg, privateKey),
    };
  };

  test('is fetched once, again for an unknown key, and stays while it cannot be fetched', async () => {
    const [one, two, three] = [await pair('1'), await pair('2', 'RS256'), await pair('3')];
    published = { keys: [one.jwk, { kty: 'oct', k: Buffer.from(SECRET).toString('base64url'), kid: 'oct' }] };
    const before = server.asked.length;
    const asker = await askerOf({ jwksUrl });
    expect(await Promise.all(Array.from({ length: 20 }, async () => asker.ask(await one.token())))).toEqual(Array(20).fill(allow));
    expect(server.asked.length).toBe(before + 1);
    // The fetch was a moment ago: strangers cause no other one.
    published = { keys: [one.jwk, two.jwk] };
    for (const token of [await two.token(), await three.token(), await sign({}, 'HS256', secretKey, 'oct')])
      expect(await asker.ask(token)).toEqual(ignore);
    expect(server.asked.length).toBe(before + 1);
    await asker.close();
    const rotated = await askerOf({ jwksUrl });
    for (const token of [await one.token(), await two.token(), await one.nameless(), await two.nameless()])
      expect(await rotated.ask(token)).toEqual(allow);
    isUp = false;
    expect(await rotated.ask(await two.token())).toEqual(allow);
    isUp = true;
    await rotated.close();
  });

  test('a token without a name is tried with every key that fits', async () => {
    const keys = [await pair('a'), await pair('b'), await pair('c')];
    published = { keys: keys.map(({ jwk }) => jwk) };
    const asker = await askerOf({ jwksUrl });
    for (const { nameless } of keys) expect(await asker.ask(await nameless())).toEqual(allow);
    expect(await asker.ask(await (await pair('a')).nameless())).toEqual(ignore);
    await asker.close();
  });

  test.each([
    ['nothing', {}],
    ['no set', { keys: 7 }],
    ['an empty set', { keys: [] }],
    ['texts', { keys: ['x'] }],
    ['300 KiB', { keys: [], x: 'x'.repeat(300_000) }],
  ])('%s is no set: the login has no answer', async (_, answer) => {
    published = answer;
    const asker = await askerOf({ jwksUrl });
    const key = await pair('1');
    await expect(asker.ask(await key.token())).rejects.toThrow(/^the server/);
    published = { keys: [key.jwk] };
    expect(await asker.ask(await key.token())).toEqual(allow);
    await asker.close();
  });
});
