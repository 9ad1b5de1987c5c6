/** The `file` authenticator in the broker: a password file of real mosquitto_passwd that changes while clients come. */

import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const folder = mkdtempSync(join(tmpdir(), 'fluxmq-file-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'passwords');
const passwd = (...args: string[]) => execFileSync('mosquitto_passwd', ['-b', ...args], { stdio: 'ignore' });
passwd('-c', path, 'ann', 'one');

const held = useBroker(() => ({ endpoints: [{ authType: 'file', authConfig: { path } }] }));

async function code(username: string, password: string, version: Version = 5) {
  const client = await RawClient.open('tcp', held.broker.ports[0]!, version);
  try {
    return (await client.handshake({ clientId: uid('c'), username, password })).code;
  } finally {
    client.destroy();
  }
}

test('users of the file come in; a new one soon after the file has changed; a bad file changes nothing', async () => {
  for (const version of [5, 4, 3] as Version[]) {
    expect(await code('ann', 'one', version)).toBe(0);
    expect(await code('ann', 'two', version)).toBe(version === 5 ? 0x86 : 4);
  }
  passwd('-H', 'sha512', path, 'bob', 'two');
  const log = async (text: string) => (await held.broker.log()).includes(text);
  await until('a new user', () => log('Auth: the password file was read again'), 15_000, 200);
  expect([await code('bob', 'two'), await code('ann', 'one')]).toEqual([0, 0]);
  appendFileSync(path, 'eve:clear-text-word\n');
  await until('a refusal', () => log('Auth: the changed password file is refused'), 15_000, 200);
  expect([await code('bob', 'two'), await code('eve', 'clear-text-word')]).toEqual([0, 0x86]);
  expect(await log('clear-text-word')).toBe(false);
});
