/** The keys for secrets in the store, as a user gives them: in the configuration, by the environment, in a file. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadSettings } from '../../../src/settings/load-settings.ts';
import { SettingsError } from '../../../src/settings/settings-error.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'fluxmq-keys-'));
});
afterEach(() => rmSync(cwd, { recursive: true }));

const HEX = '00'.repeat(32);

function secretsOf(yaml: string, env: NodeJS.ProcessEnv = {}) {
  writeFileSync(join(cwd, 'config.yaml'), yaml);
  return loadSettings({ file: null, env, cwd }).settings.secrets;
}

function problemsOf(yaml: string, env: NodeJS.ProcessEnv = {}): string[] {
  try {
    secretsOf(yaml, env);
  } catch (error) {
    if (error instanceof SettingsError) return error.issues.map(({ path, line, message }) => `${path}:${line ?? '-'} ${message}`);
    throw error;
  }
  return [];
}

test('are none by default', () => {
  expect(secretsOf('store: { storeType: MEMORY }')).toEqual({ secretKey: null, secretKeysOld: [] });
});

test('come from the configuration and from the environment, digits alone included', () => {
  expect(secretsOf(`store:\n  secretKey: 123456789012\n  secretKeysOld: [ ${HEX}, 999999999999 ]`)).toEqual({
    secretKey: '123456789012',
    secretKeysOld: [HEX, '999999999999'],
  });
  const env = { FLUXMQ_STORE_SECRETKEY: HEX, FLUXMQ_STORE_SECRETKEYSOLD: '["an older passphrase"]' };
  expect(secretsOf('', env)).toEqual({ secretKey: HEX, secretKeysOld: ['an older passphrase'] });
  expect(secretsOf('store: { secretKey: "${THE_KEY}" }', { THE_KEY: 'from a variable' }).secretKey).toBe('from a variable');
});

test('of an endpoint may be digits alone, as every text of an endpoint', () => {
  const yaml = 'endpoints: [{ port: 8883, namespace: 7, sslConfig: { cert: a.pem, key: a.key, passphrase: 0123 } }]';
  writeFileSync(join(cwd, 'config.yaml'), yaml);
  const { settings } = loadSettings({ file: null, env: {}, cwd });
  expect(settings.endpoints[0]).toMatchObject({ namespace: '7', sslConfig: { passphrase: '0123' } });
});

test('come from a file: its first line is the key, further ones are old keys', () => {
  writeFileSync(join(cwd, 'keys'), `\n the newest passphrase \n\n${HEX}\n`);
  const expected = { secretKey: 'the newest passphrase', secretKeysOld: [HEX] };
  expect(secretsOf('store: { secretKeyFile: keys }')).toEqual(expected);
  expect(secretsOf('', { FLUXMQ_STORE_SECRETKEYFILE: join(cwd, 'keys') })).toEqual(expected);
});

test('are refused with their place when they cannot be used', () => {
  const form = 'must be 32 bytes as hex or base64, or a passphrase of at least 12 characters';
  expect(problemsOf('store:\n  secretKey: short\n  secretKeysOld: [too short]')).toEqual([
    `store.secretKey:2 ${form}`,
    `store.secretKeysOld[0]:3 ${form}`,
  ]);
  expect(problemsOf('store: { secretKeyFile: nowhere }')).toEqual([
    expect.stringMatching(/^store\.secretKeyFile:1 cannot be read: ENOENT/),
  ]);
  writeFileSync(join(cwd, 'keys'), '\n \n');
  expect(problemsOf('store: { secretKeyFile: keys }')).toEqual([expect.stringContaining('keys is empty')]);
  writeFileSync(join(cwd, 'keys'), `${HEX}\nshort\n`);
  expect(problemsOf('store: { secretKeyFile: keys }')).toEqual([expect.stringContaining('line 2 of')]);
  expect(problemsOf(`store: { secretKeyFile: keys, secretKey: ${'k'.repeat(12)} }`)).toEqual(
    expect.arrayContaining([expect.stringContaining('is given beside secretKey')]),
  );
  expect(problemsOf('', { FLUXMQ_STORE_SECRETKEY: 'short' })).toEqual([expect.stringContaining('(set by FLUXMQ_STORE_SECRETKEY)')]);
});
