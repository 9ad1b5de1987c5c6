/** Password files: the forms of real mosquitto_passwd and our own, refused lines, and a file that changes under a running broker. */

import { execFileSync } from 'node:child_process';
import { randomBytes, scryptSync } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AskNotice } from '../../../src/thread/access/ask.ts';
import { openFileAsker } from '../../../workers/task/asking/file/file-asker.ts';
import { PasswordFile } from '../../../workers/task/asking/file/password-file.ts';
import { matchesStored, readPasswordLine } from '../../../workers/task/asking/file/password-line.ts';

let folder = '';
let path = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-passwords-'));
  path = join(folder, 'passwords');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mosquitto = (...args: string[]) => execFileSync('mosquitto_passwd', ['-b', ...args], { stdio: 'ignore' });
const salt = randomBytes(16);
const scrypt = `scrypt$1024$8$1$${salt.toString('base64')}$${scryptSync('pässword', salt, 32, { N: 1024, r: 8, p: 1 }).toString('base64')}`;
const bcrypt = '$2b$10$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6';

test('checks what mosquitto_passwd writes, and hashes of our own', async () => {
  mosquitto('-c', path, 'ann', 'word of ann');
  mosquitto('-H', 'sha512', path, 'bob', 'wörd:of $ bob');
  appendFileSync(path, `# comment\n\n  \neve:${scrypt}\r\numa:${bcrypt}`);
  expect(readFileSync(path, 'utf8')).toMatch(/^ann:\$7\$[\s\S]*^bob:\$6\$/m);
  const asker = await openFileAsker(
    { authType: 'file', path, filter: {}, timeout: 1_000, maxRequests: 1, onUnavailable: 'deny', cacheSeconds: 0 },
    () => {},
  );
  const ask = (username: string | null, password: string | null) =>
    asker.ask(
      {
        clientId: 'c',
        username,
        password: password === null ? null : Buffer.from(password),
        ip: '::1',
        endpoint: 'e',
        namespace: 'n',
        certCommonName: null,
      },
      new AbortController().signal,
    );
  for (const [name, word] of [
    ['ann', 'word of ann'],
    ['bob', 'wörd:of $ bob'],
    ['eve', 'pässword'],
  ] as const) {
    expect([name, await ask(name, word)]).toEqual([name, { result: 'allow' }]);
    for (const wrong of ['', 'x', `${word} `]) expect(await ask(name, wrong)).toEqual({ result: 'deny' });
  }
  expect(await ask('uma', 'x')).toEqual({ result: 'deny' });
  for (const [name, word] of [
    ['nobody', 'word of ann'],
    ['Ann', 'word of ann'],
    ['# comment', ''],
    [null, 'x'],
    ['ann', null],
  ] as const)
    expect(await ask(name, word)).toEqual({ result: 'ignore' });
  await asker.close();
});

describe('a line', () => {
  const hash = Buffer.alloc(64, 1).toString('base64');
  test.each([
    'ann',
    'ann:',
    ':$6$c2FsdA==$x',
    'ann:clear text',
    'ann:$5$c2FsdA==$x',
    `ann:$6$c2FsdA==$${hash.slice(4)}`,
    `ann:$7$0$c2FsdA==$${hash}`,
    `ann:$7$2000001$c2FsdA==$${hash}`,
    `ann:$7$c2FsdA==$${hash}`,
    'ann:$2b$31$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6',
    'ann:scrypt$3$8$1$eA==$eA==',
  ])('%s is refused, and the reason holds nothing of it', (line) => {
    expect(() => readPasswordLine(line)).toThrow(/^(has|must)/);
    expect(() => readPasswordLine(line)).not.toThrow(/ann|clear/);
  });

  test('PBKDF2 and SHA-512 agree with mosquitto for any bytes', async () => {
    const password = Buffer.from([0, 255, 58, 36]);
    expect(await matchesStored(`$6$c2FsdA==$${hash}`, password)).toBe(false);
    expect(await matchesStored(`$7$2$c2FsdA==$${hash}`, password)).toBe(false);
  });
});

test('a changed file is read when it stands still; a bad one is refused, and the old users stay', async () => {
  const notices: AskNotice[] = [];
  mosquitto('-c', path, 'ann', '1');
  const file = await PasswordFile.open(path, (level, message, fields) => notices.push({ level, message, fields }));
  const names = () => ['ann', 'bob', 'eve'].filter((name) => file.storedOf(name) !== undefined);
  const looks = async () => {
    await file.look();
    await file.look();
  };
  await looks();
  expect([names(), notices]).toEqual([['ann'], []]);

  appendFileSync(path, `bob:${bcrypt}\n`);
  await file.look();
  expect(names()).toEqual(['ann']);
  appendFileSync(path, '\n');
  await file.look();
  expect(names()).toEqual(['ann']);
  await file.look();
  expect([names(), notices.splice(0)]).toMatchObject([['ann', 'bob'], [{ level: 'info', fields: { path, users: 2 } }]]);

  for (const [spoil, reason] of [
    [() => appendFileSync(path, 'eve:never shown\n'), 'line 4 has no known form'],
    [() => truncateSync(path), 'names no user'],
    [() => writeFileSync(path, `eve:${bcrypt}\neve:${bcrypt}\n`), 'line 2 names a user for the second time'],
    [() => rmSync(path), 'ENOENT'],
  ] as const) {
    spoil();
    await looks();
    await looks();
    expect(names()).toEqual(['ann', 'bob']);
    expect(notices).toMatchObject([{ level: 'warn', fields: { reason: expect.stringContaining(reason) } }]);
    expect(JSON.stringify(notices.splice(0))).not.toContain('never shown');
  }

  writeFileSync(`${path}.new`, `eve:${bcrypt}\n`);
  renameSync(`${path}.new`, path);
  await looks();
  expect(names()).toEqual(['eve']);
  file.close();
  writeFileSync(path, 'x');
  await expect(PasswordFile.open(path, () => {})).rejects.toThrow('line 1');
  await expect(PasswordFile.open(folder, () => {})).rejects.toThrow('is no file');
});
