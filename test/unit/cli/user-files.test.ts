/** Files of users of other brokers: what becomes of them, and every problem with its place. */

import { execFileSync } from 'node:child_process';
import { createHash, pbkdf2Sync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readDynamicSecurity } from '../../../src/cli/user-files/dynamic-security.ts';
import type { EmqxTerms } from '../../../src/cli/user-files/emqx.ts';
import { kindOfUserFile, readUserFile, type UserFileKind } from '../../../src/cli/user-files/read-user-file.ts';
import { Problems } from '../../../src/endpoint/problems.ts';
import { readUser } from '../../../src/endpoint/users/user.ts';
import { readHash } from '../../../src/kernel/logins/hash-forms.ts';
import { matchesHash } from '../../../src/kernel/logins/match-hash.ts';

const dir = mkdtempSync(join(tmpdir(), 'fluxmq-user-files-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const TERMS: EmqxTerms = { by: 'username', hash: 'sha256', salt: 'prefix', iterations: 4096 };
const read = (text: string, kind?: UserFileKind, terms: Partial<EmqxTerms> = {}, acl: string | null = null) =>
  readUserFile(text, kind ?? kindOfUserFile(text), { ...TERMS, ...terms }, acl);

async function matches(hash: string | undefined, password: string): Promise<boolean> {
  const form = readHash(hash ?? '');
  return typeof form !== 'string' && matchesHash(form, Buffer.from(password));
}

/** Everything that a file has made is taken by the broker. */
function expectTaken(users: readonly unknown[]): void {
  const problems = new Problems();
  for (const [at, user] of users.entries()) readUser(user, String(at), problems, null);
  expect(problems.issues).toEqual([]);
}

test('a password file of mosquitto_passwd, and rules that are judged in the order of mosquitto', async () => {
  const path = join(dir, 'passwd');
  writeFileSync(path, '');
  execFileSync('mosquitto_passwd', ['-b', path, 'ann', 'one: x'], { stdio: 'ignore' });
  execFileSync('mosquitto_passwd', ['-b', '-H', 'sha512', path, 'ben', 'two'], { stdio: 'ignore' });
  const acl = `# rules\ntopic read public/#\n\nuser ann\ntopic write a/+\ntopic deny a/secret\ntopic readwrite b c/#\nuser zoe\ntopic z\npattern read in/%u/%c\r\npattern deny in/all\n`;
  const file = read(readFileSync(path, 'utf8'), undefined, {}, acl);
  expect(file.problems).toEqual([]);
  expect(file.notes).toEqual([
    '1 rules before the first user are for clients without a login: give them to the endpoint (aclConfig)',
    'zoe: has rules and no password, so it is left out',
  ]);
  const shared = ['deny all in/all', 'allow subscribe in/${username}/${clientId}', 'deny all #', 'deny all $SYS/#'];
  const rules = file.users.map(({ acl }) => acl?.map(({ permission, action, topic }) => `${permission} ${action} ${topic}`));
  expect(rules).toEqual([['deny all a/secret', 'allow publish a/+', 'allow all b c/#', ...shared], shared]);
  expect([await matches(file.users[0]?.hash, 'one: x'), await matches(file.users[1]?.hash, 'two')]).toEqual([true, true]);
  expectTaken(file.users);
});

test('all problems of a password file and of an ACL file, without a word of a password', () => {
  const file = read(
    `good:$6$c2FsdA==$${Buffer.alloc(64).toString('base64')}\nann:clear text\n:x\nno colon\ngood:$6$x$y\nben:$7$0$c2FsdA==$AAAA\n`,
    'mosquitto',
    {},
    'topic\nuser x\ntopic read a/#/b\nnonsense\n',
  );
  expect(file.problems).toEqual([
    'line 2: ann has a password in clear text; mosquitto_passwd -U makes hashes',
    'line 3: expected a user name, a colon and a hash',
    'line 4: expected a user name, a colon and a hash',
    'line 5: good stands in line 1 already',
    'line 6: the hash of ben has a hash of the wrong length',
    'ACL file, line 1: expected user, topic or pattern',
    expect.stringMatching(/^ACL file, line 3: the topic /),
    'ACL file, line 4: expected user, topic or pattern',
  ]);
  expect(JSON.stringify(file.problems)).not.toContain('clear text x');
});

test('dynamic-security.json: roles by priority, of the client before those of its groups, then the defaults', async () => {
  const path = join(dir, 'dynsec.json');
  rmSync(path, { force: true });
  execFileSync('mosquitto_ctrl', ['dynsec', 'init', path, 'admin', 'secret'], { stdio: 'ignore' });
  const made = JSON.parse(readFileSync(path, 'utf8')) as { clients: Record<string, unknown>[] };
  const own = read(readFileSync(path, 'utf8'));
  expect(own).toMatchObject({ problems: [], notes: ['rules about UNSUBSCRIBE are left out: fluxmq never refuses it'] });
  expect(await matches(own.users[0]?.hash, 'secret')).toBe(true);
  expectTaken(own.users);
  const acl = (acltype: string, topic: string, allow: boolean, priority = 0) => ({ acltype, topic, allow, priority });
  const role = (rolename: string, ...acls: object[]) => ({ rolename, acls });
  const file = readDynamicSecurity({
    ...made,
    clients: [
      {
        ...made.clients[0],
        username: 'dev',
        roles: [
          { rolename: 'low', priority: 1 },
          { rolename: 'high', priority: 9 },
        ],
        disabled: true,
        clientid: 'd',
      },
      { username: 'ghost' },
    ],
    groups: [
      { groupname: 'later', roles: [{ rolename: 'group' }], clients: [{ username: 'dev', priority: 1 }] },
      { groupname: 'sooner', roles: [{ rolename: 'receive' }], clients: [{ username: 'dev', priority: 2 }] },
    ],
    roles: [
      role('low', acl('publishClientSend', 'low/%u', true)),
      role('high', acl('subscribeLiteral', 'h/#', true), acl('publishClientSend', 'h/%c', false, 5)),
      role('group', acl('subscribePattern', 'g/#', true)),
      role('receive', acl('publishClientReceive', 'r/#', false), acl('publishClientReceive', 'x/#', true)),
    ],
    anonymousGroup: 'later',
    defaultACLAccess: { publishClientSend: true, subscribe: false },
  });
  expect(file.problems).toEqual([]);
  expect(file.users).toHaveLength(1);
  expect(file.users[0]).toMatchObject({ username: 'dev', disabled: true, groups: ['later', 'sooner'], comment: 'Dynsec admin user' });
  expect(file.users[0]?.acl?.map((rule) => `${rule.permission} ${rule.action} ${rule.topic}`)).toEqual([
    'deny publish h/${clientId}',
    'allow subscribe eq:h/#',
    'allow publish low/${username}',
    'deny subscribe r/#',
    'allow subscribe g/#',
    'deny subscribe #',
    'deny subscribe $SYS/#',
  ]);
  expect(file.notes).toHaveLength(4);
  expectTaken(file.users);
});

test('EMQX: CSV and JSON, hashed and plain, by user name and by client identifier', async () => {
  const digest = (algorithm: string, text: string) => createHash(algorithm).update(text).digest('hex');
  const csv = `user_id,password_hash,salt,is_superuser\nann,${digest('sha256', 'nacone')},nac,true\n"be,""n",${digest('sha256', 'xtwo')},x,false\n`;
  const file = read(csv);
  expect(file.problems).toEqual([]);
  expect(file.users.map(({ username, isSuperuser }) => [username, isSuperuser])).toEqual([
    ['ann', true],
    ['be,"n', undefined],
  ]);
  expect([
    await matches(file.users[0]?.hash, 'one'),
    await matches(file.users[1]?.hash, 'two'),
    await matches(file.users[1]?.hash, 'one'),
  ]).toEqual([true, true, false]);
  for (const [hash, salt, text] of [
    ['sha512', 'suffix', digest('sha512', 'pwnac')],
    ['sha', 'prefix', digest('sha1', 'nacpw')],
    ['md5', 'disable', digest('md5', 'pw')],
    ['pbkdf2-sha256', 'prefix', pbkdf2Sync('pw', 'nac', 4096, 32, 'sha256').toString('hex')],
  ] as const) {
    const json = JSON.stringify([{ user_id: 'c1', password_hash: text, salt: 'nac', is_superuser: false }]);
    const made = read(json, undefined, { hash, salt, by: 'clientId' });
    expect([hash, made.problems, made.users[0]?.clientId, await matches(made.users[0]?.hash, 'pw')]).toEqual([hash, [], 'c1', true]);
    expectTaken(made.users);
  }
  expect(read('user_id,password,is_superuser\nann,pw,true\n').users).toEqual([{ username: 'ann', password: 'pw', isSuperuser: true }]);
});

test('all problems of an EMQX file', () => {
  const csv = read('user_id,password_hash,salt,is_superuser,colour\nann,zz,s,true,x\nben,1\n"cy,1,s,false,x\n');
  expect(csv.problems).toEqual([
    'line 3: has 2 fields, expected 5',
    'line 4: a quotation mark is not closed',
    expect.stringContaining('unknown column colour'),
    'line 2: ann: is no hash of the kind sha256',
  ]);
  const json = read(
    JSON.stringify([
      1,
      { user_id: '' },
      { user_id: 'a' },
      { user_id: 'b', password: 'x', is_superuser: 'maybe' },
      { user_id: 'c', password: 'x' },
      { user_id: 'c', password: 'x' },
    ]),
  );
  expect(json.problems).toEqual([
    '[0]: must be an object',
    '[1]: has no user_id',
    '[2]: a: has neither password nor password_hash',
    '[3]: b: is_superuser must be true or false',
    '[5]: c stands at [4] already',
  ]);
});

test('the form of a file is known by its content', () => {
  expect(['{"users": []}', '{"clients": []}', '[]', 'user_id,password\n', 'ann:$7$x', ''].map(kindOfUserFile)).toEqual([
    'fluxmq',
    'dynamic-security',
    'emqx',
    'emqx',
    'mosquitto',
    'mosquitto',
  ]);
  expect(read('{"users": [{"username": "a", "hash": "x", "revision": 7}]}').users).toEqual([{ username: 'a', hash: 'x' }]);
  for (const text of ['{"x": 1}', '{', '[1']) expect(read(text).problems).toHaveLength(1);
});
