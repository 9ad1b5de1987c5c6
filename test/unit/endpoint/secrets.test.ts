/** Secrets of an endpoint: masked, sealed, and told apart in a readable diff without being shown. */

import { expect, test } from 'vitest';
import { mergeEndpoint, parseEndpoint } from '../../../src/endpoint/schema.ts';
import { readableDiff } from '../../../src/endpoint/secrets/readable-diff.ts';
import { mapSecrets, maskSecrets, secretPathsOf } from '../../../src/endpoint/secrets/secrets.ts';

const rule = (topic: string) => ({ permission: 'allow', subject: { type: 'all', value: '*' }, action: 'pubsub', topic });
const users = (passwords: Record<string, string>) => Object.entries(passwords).map(([username, password]) => ({ username, password }));
const base = parseEndpoint({
  port: 1883,
  authConfig: { users: users({ alice: 'secret-a', bob: 'secret-b' }) },
  aclConfig: { rules: ['a', 'b', 'c'].map(rule) },
}).endpoint;
const diff = (patch: Record<string, unknown>) => readableDiff(base, mergeEndpoint(base, patch).endpoint);

test('finds and replaces every secret, and changes nothing else', () => {
  expect(secretPathsOf(base)).toEqual(['authConfig[0].users[0].password', 'authConfig[0].users[1].password']);
  expect(JSON.stringify(maskSecrets(base))).not.toContain('secret-');
  const back = mapSecrets(
    mapSecrets(base, (secret) => `<${secret}>`),
    (secret) => secret.slice(1, -1),
  );
  expect(back).toEqual(base);
  expect(secretPathsOf(parseEndpoint({ port: 1 }).endpoint)).toEqual([]);
});

test('names the single values that are different', () => {
  expect(diff({})).toEqual([]);
  expect(diff({ maxConnectionSize: 5, serverOptions: { soBacklog: 7 } })).toEqual([
    { path: 'maxConnectionSize', from: 1000, to: 5 },
    { path: 'serverOptions.soBacklog', from: 511, to: 7 },
  ]);
  expect(diff({ aclType: null })).toMatchObject([{ path: 'aclConfig', to: null }]);
});

test('shows that a secret changed, and whose, but never the secret', () => {
  const changed = diff({ authConfig: { users: users({ alice: 'secret-x', bob: 'secret-b' }) } });
  expect(changed).toEqual([{ path: 'authConfig[0].users[alice].password', from: '******', to: '******', secret: true }]);
  const replaced = diff({ authConfig: { users: users({ carol: 'secret-c', alice: 'secret-a' }) } });
  expect(replaced).toMatchObject([
    { path: 'authConfig[0].users[bob]', from: { username: 'bob', password: '******' }, to: null },
    { path: 'authConfig[0].users[carol]', from: null, to: { username: 'carol', password: '******' } },
  ]);
  const texts = [changed, replaced, diff({ authConfig: null }), diff({ authConfig: [{ users: users({ z: 'secret-z' }) }, { users: [] }] })];
  expect(JSON.stringify(texts)).not.toContain('secret-');
  expect(texts.every((entries) => entries.length > 0)).toBe(true);
});

test('shows the stretch of a list that differs', () => {
  expect(diff({ aclConfig: { rules: ['a', 'x', 'y', 'c'].map(rule) } })).toEqual([
    { path: 'aclConfig.rules[1]', from: [rule('b')], to: [rule('x'), rule('y')] },
  ]);
  expect(diff({ aclConfig: { rules: ['a', 'b', 'c', 'd'].map(rule) } })).toEqual([
    { path: 'aclConfig.rules[3]', from: [], to: [rule('d')] },
  ]);
  const swapped = diff({ authConfig: { users: users({ bob: 'secret-b', alice: 'secret-a' }) } });
  expect(swapped).toEqual([{ path: 'authConfig[0].users', from: ['alice', 'bob'], to: ['bob', 'alice'] }]);
});
