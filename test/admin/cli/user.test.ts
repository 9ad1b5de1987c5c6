/** `fluxmq user …` against a broker whose clients log in with what the commands have made. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { cells, commandIn, onTerminal, printed } from './command.ts';

const held = useBroker(() => ({ endpoints: [{ authType: 'users', authConfig: { look: 'both' } }] }));
const run = commandIn(() => held.broker.dir);

async function code(username: string, password: string, clientId = 'c'): Promise<number> {
  const client = await RawClient.open('tcp', held.broker.ports[0]!, 4);
  try {
    return (await client.handshake({ clientId, username, password })).code;
  } finally {
    client.destroy();
  }
}

test('add, set, passwd, disable, enable, remove: each counts from the next CONNECT on', async () => {
  expect(printed(await run('user add ann --comment shift --reason hired', { input: 'one\n' }))).toMatch(/^added ann, revision \d+\n$/);
  expect(printed(await run('user add box --client --hash mosquitto --groups a,b --superuser yes --quiet', { input: 'two' }))).toBe('');
  expect([await code('ann', 'one'), await code('x', 'two', 'box'), await code('ann', 'two')]).toEqual([0, 0, 4]);
  expect(await run('user add ann', { input: 'x' })).toMatchObject({ code: 1, stderr: expect.stringContaining('exists') });
  writeFileSync(join(held.broker.dir, 'rules.yaml'), 'acl: [{permission: allow, action: all, topic: "t/#"}]\n');
  printed(await run('user set ann --file rules.yaml --comment "night"'));
  expect(printed(await run('user show ann'))).toMatch(/username: ann\n[\s\S]*rule: allow pubsub t\/#\n/);
  printed(await run('user passwd ann --hash scrypt', { input: 'three' }));
  expect([await code('ann', 'one'), await code('ann', 'three')]).toEqual([4, 0]);
  expect(printed(await run('user disable ann --kick'))).toMatch(/^disabled ann, revision \d+, disconnected 0 clients\n$/);
  expect(await code('ann', 'three')).toBe(4);
  printed(await run('user enable ann'));
  expect(await code('ann', 'three')).toBe(0);
  const list = cells(printed(await run('user list')));
  expect(list.map(([name]) => name)).toEqual(['USER', 'ann', 'box']);
  expect(list[2]).toContain('superuser');
  expect(printed(await run('user list --search b --quiet'))).toBe('box\n');
  expect(await run('user remove ann')).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  expect(await onTerminal('user remove ann', held.broker.dir, 'n')).toMatchObject({ code: 1 });
  expect(await onTerminal('user remove ann', held.broker.dir, 'y')).toMatchObject({ code: 0 });
  expect(await code('ann', 'three')).toBe(4);
  expect(cells(printed(await run('user history --limit 2')))[1]).toEqual(expect.arrayContaining(['remove', 'ann']));
});

test('import of another broker, export, and a rollback', async () => {
  const { dir } = held.broker;
  execFileSync('mosquitto_passwd', ['-c', '-b', join(dir, 'passwd'), 'mia', 'secret'], { stdio: 'ignore' });
  writeFileSync(join(dir, 'acl'), 'user mia\ntopic read in/#\n');
  expect(printed(await run('user import passwd --acl acl --dry-run'))).toBe('would be: 1 added, 0 changed, 0 removed, 0 unchanged\n');
  expect(await code('mia', 'secret')).toBe(4);
  expect(printed(await run('user import passwd --acl acl --reason moved'))).toMatch(
    /^1 added, 0 changed, 0 removed, 0 unchanged, revision \d+\n$/,
  );
  expect(await code('mia', 'secret')).toBe(0);
  const many = Array.from({ length: 1_200 }, (_, at) => `u${at},pw${at},false`).join('\n');
  writeFileSync(join(dir, 'many.csv'), `user_id,password,is_superuser\n${many}\n`);
  expect(printed(await run('user import many.csv --dry-run'))).toContain('1200 added');
  const exported = await run('user export');
  const users = (JSON.parse(printed(exported)) as { users: { username?: string; hash: string }[] }).users;
  expect(users.find(({ username }) => username === 'mia')?.hash).toMatch(/^\$7\$/);
  expect(printed(await run('user import - --replace', { input: exported.stdout }))).toMatch(
    new RegExp(`^0 added, 0 changed, 0 removed, ${users.length} unchanged`),
  );
  const { revision } = JSON.parse(printed(await run('user list --json'))).users.find(
    ({ username }: { username: string }) => username === 'mia',
  );
  printed(await run(`user rollback ${revision - 1} --yes`));
  expect(await code('mia', 'secret')).toBe(4);
});

test.each([
  ['user add', /which user/],
  ['user add ann secret', /too many arguments/],
  ['user add zed --hash rot13', /unknown hash: rot13/],
  ['user add zed --superuser maybe', /expected yes or no/],
  ['user set zed', /nothing to change/],
  ['user import', /which file/],
  ['user import no-such-file', /no such file/],
  ['user import - --from word', /expected one of fluxmq, mosquitto/],
  ['user import - --from fluxmq --acl x', /--acl belongs to/],
  ['user import - --hashed rot13', /expected one of plain/],
  ['user rollback x', /no revision/],
  ['user rollback 0', /--yes/],
])('%s is refused before anything is sent', async (line, text) => {
  const ended = await run(line, { input: 'ann:clear\n' });
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toMatch(text);
  expect(ended.stderr).not.toContain('secret');
});

test('a file with problems names all of them and changes nothing', async () => {
  const ended = await run('user import -', { input: 'ann:clear\nbad\n' });
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toMatch(
    /\(mosquitto\) cannot be imported, and nothing was changed\n[\s\S]*line 1: ann has a password in clear text[\s\S]*line 2: /,
  );
  expect(ended.stderr).not.toContain('ann:clear');
  expect(printed(await run('user list --search ann --quiet'))).toBe('');
});
