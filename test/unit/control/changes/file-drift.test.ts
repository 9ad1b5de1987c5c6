/** Settings of a configuration file without effect, and passwords that anybody knows. */

import { expect, test } from 'vitest';
import { driftOf } from '../../../../src/control/changes/file-drift.ts';
import { parseEndpoint } from '../../../../src/endpoint/schema.ts';
import { exampleSettings, examplesOf } from '../../../../src/settings/example-passwords.ts';
import { settings } from '../kit.ts';

const endpoint = (input: Record<string, unknown>) => parseEndpoint(input).endpoint;

test('names endpoints that differ with their keys, those that are missing, and those that only the store has', () => {
  const file = [endpoint({ port: 1 }), endpoint({ port: 2, maxConnectionSize: 5, host: '127.0.0.1' }), endpoint({ port: 3 })];
  const stored = [endpoint({ port: 1 }), endpoint({ port: 2 }), endpoint({ port: 4, id: 'guests' })];
  expect(driftOf(file, stored)).toEqual({
    ignored: ['mqtt-2 differs in host, maxConnectionSize, maxSessionSize', 'mqtt-3 (port 3) is not in the store'],
    added: ['guests'],
  });
  expect(driftOf(file, file)).toEqual({ ignored: [], added: [] });
});

test('passwords of the documentation are found wherever one can stand', () => {
  const users = [
    { username: 'a', password: 'change-me-1' },
    { username: 'b', password: 'x'.repeat(20) },
    { username: 'c', encrypt: 'bcrypt', password: '$2b$10$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6' },
  ];
  const bad = endpoint({ port: 1, authType: 'fixed', authConfig: { users } });
  expect(examplesOf(bad)).toEqual(['authConfig[0].users[a].password', 'authConfig[0].users[c].password']);
  expect(exampleSettings(settings([]))).toEqual([]);
  const given = settings([]);
  given.http.password = 'change-me';
  given.http.viewers = [{ username: 'guest', password: 'guest' }];
  given.secrets.secretKey = 'change-me-secret-key';
  given.auth = bad.authConfig ?? [];
  expect(exampleSettings(given)).toEqual([
    'http.password',
    'http.viewers[0].password',
    'store.secretKey',
    'auth[0].users[a].password',
    'auth[0].users[c].password',
  ]);
});
