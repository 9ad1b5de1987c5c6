/** `fluxmq endpoint …` against a broker: every command, tables for people, JSON for scripts. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { cells, commandIn, onTerminal, printed } from './command.ts';

const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false, isDefault: true }] }));
const run = commandIn(() => held.broker.dir);
let first: number;
let free: number[];

beforeAll(async () => {
  first = held.broker.ports[0]!;
  free = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
});

async function json(line: string): Promise<unknown> {
  return JSON.parse(printed(await run(`${line} --json`)));
}

async function data(path: string): Promise<unknown> {
  const { body } = await held.broker.api('GET', `/api/endpoints/${path}`);
  return (body as { data: unknown }).data;
}

test('list, get and status: tables for people, the data of the API with --json', async () => {
  const table = cells(printed(await run('endpoint list')));
  expect(table[0]).toEqual(['ID', 'PORT', 'HOST', 'TRANSPORT', 'NAMESPACE', 'LOGIN', 'CLIENTS', 'STATE']);
  expect(table).toContainEqual(['first', String(first), '127.0.0.1', 'tcp', 'default', 'no', '≤ 1000', 'listening (default)']);
  expect(await json('endpoint list')).toEqual(await data('list'));
  const keys = new Map(cells(printed(await run('endpoint get first'))).map(([key, value]) => [key, value]));
  expect(keys.get('port')).toBe(String(first));
  expect(keys.get('serverOptions.soBacklog')).toBe('511');
  expect(keys.get('aclConfig')).toBe('null');
  expect(await json(`endpoint get ${first}`)).toEqual(await data(`get?port=${first}`));
  const status = cells(printed(await run('endpoint status first')));
  expect(status[0]).toEqual(['ID', 'PORT', 'NODE', 'STATE', 'WORKERS', 'CLIENTS', 'SESSIONS', 'SINCE', 'REV']);
  expect(status[1]?.slice(3, 7)).toEqual(['running', '1', '0', '0']);
  expect(status[1]?.[7]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(await json('endpoint status')).toMatchObject([{ id: 'first', state: 'running' }]);
});

test('add, update, disable, enable, remove, and what the history says of them', async () => {
  const [port, moved] = free as [number, number];
  const added = await run(
    `endpoint add port=${port} id=guests host=127.0.0.1 enableAuth=false serverOptions.workerGroupSize=2 namespace=7 --reason 'trade fair'`,
  );
  expect(printed(added)).toMatch(new RegExp(`^added guests \\(127\\.0\\.0\\.1:${port}\\), revision \\d+\\n$`));
  expect(added.stderr).toBe('');
  expect(await json('endpoint get guests')).toMatchObject({
    endpoint: { port, enableAuth: false, namespace: '7', serverOptions: { workerGroupSize: 2 } },
  });
  expect(
    printed(await run('endpoint list -q'))
      .trim()
      .split('\n'),
  ).toEqual(expect.arrayContaining(['first', 'guests']));
  expect(printed(await run('endpoint update guests maxConnectionSize=50'))).toMatch(/^updated guests .*, revision \d+, live\n$/);
  expect(await json('endpoint update guests maxConnectionSize=null')).toMatchObject({
    effect: 'live',
    endpoint: { maxConnectionSize: 1000 },
  });
  expect(printed(await run(`endpoint update ${port} newPort=${moved} --drain 1s`))).toContain('rebind');
  expect(printed(await run('endpoint disable guests'))).toMatch(/^disabled guests/);
  expect(
    cells(printed(await run('endpoint list')))
      .find(([id]) => id === 'guests')
      ?.at(-1),
  ).toBe('disabled');
  expect(printed(await run('endpoint enable guests -q'))).toBe('');
  expect(printed(await run('endpoint remove id=guests --reason over'))).toMatch(/^removed guests/);
  const table = cells(printed(await run('endpoint history guests')));
  expect(table[0]).toEqual(['REV', 'WHEN', 'ACTION', 'ENDPOINT', 'BY', 'REASON', 'CHANGE']);
  expect(table.slice(1).map((row) => row[2])).toEqual(['remove', 'enable', 'disable', 'update', 'update', 'update', 'add']);
  expect(table[1]?.slice(3)).toEqual(['guests', 'local', 'over', `port ${moved}`]);
  expect(table[4]?.at(-1)).toBe(`port ${port} → ${moved}`);
  expect(printed(await run('endpoint history guests --long --limit 6'))).toMatch(/\n {4}maxConnectionSize {2}1000 → 50\b/);
  expect(await json('endpoint history guests --limit 2')).toEqual(await data('history?id=guests&limit=2'));
});

test('plan says what would happen, and nothing happens', async () => {
  const before = await data('list');
  const plan = printed(await run(`endpoint plan update first newPort=${free[2]} maxSessionSize=5`));
  expect(plan).toMatch(new RegExp(`^port +${first} → ${free[2]} +new listener; clients stay connected on the old one$`, 'm'));
  expect(plan).toMatch(/^maxSessionSize +1000 → 5 +at once, for all clients$/m);
  expect(plan).toMatch(/^0 clients affected$/m);
  expect(printed(await run('endpoint plan update first maxSessionSize=1000'))).toMatch(/^nothing would change$/m);
  expect(printed(await run(`endpoint plan add port=${free[2]} id=extra`))).toBe('+ extra\n0 clients affected\n');
  expect(printed(await run('endpoint plan remove first --force'))).toMatch(/^- first\n/);
  expect(printed(await run('endpoint plan disable first --force'))).toMatch(/^enabled +true → false/m);
  expect(await data('list')).toEqual(before);
});

test('keys from a file: YAML with variables, JSON as it is, standard input, what get has printed', async () => {
  const { dir } = held.broker;
  const port = free[3]!;
  const yaml = `port: ${port}\nid: filed\nhost: 127.0.0.1\nauthType: fixed\nauthConfig:\n  users: [{username: u, password: "\${SECRET}"}]\n`;
  writeFileSync(
    join(dir, 'filed.yaml'),
    `${yaml}aclType: config\naclConfig: {rules: [{permission: deny, subject: {type: all}, action: pubsub, topic: "$SYS/\${username}"}]}\n`,
  );
  expect(await run('endpoint add --file filed.yaml')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('the environment variable SECRET is not set'),
  });
  printed(await run('endpoint add --file filed.yaml maxSessionSize=9', { env: { SECRET: 'geheim' } }));
  const got = printed(await run('endpoint get filed --json'));
  expect(JSON.parse(got)).toMatchObject({ endpoint: { maxSessionSize: 9, aclConfig: { rules: [{ topic: '$SYS/${username}' }] } } });
  expect(got).not.toContain('geheim');
  writeFileSync(join(dir, 'got.json'), got.replace('"maxSessionSize": 9', '"maxSessionSize": 11'));
  printed(await run('endpoint update --file got.json'));
  printed(await run('endpoint update filed --file -', { input: '{"wiretap": false, "path": "/${x}"}' }));
  expect(await json('endpoint get filed')).toMatchObject({ endpoint: { maxSessionSize: 11, path: '/${x}' } });
  printed(await run('endpoint remove filed'));
});

test('diff between revisions, and between a revision and now', async () => {
  const port = free[4]!;
  const start = (await json('endpoint history --limit 1')) as { revision: number }[];
  const base = start[0]!.revision;
  printed(await run(`endpoint add port=${port} id=d1 host=127.0.0.1`));
  printed(await run('endpoint update first maxQueuedMessages=10'));
  printed(await run('endpoint update first maxQueuedMessages=20 wiretap=true'));
  printed(await run('endpoint update first wiretap=false'));
  const parts = new Map([
    [port, `+ d1 (port ${port})\n`],
    [first, `~ first (port ${first})\n    maxQueuedMessages  1000 → 10\n`],
  ]);
  const inOrder = [...parts].toSorted(([a], [b]) => a - b).map(([, text]) => text);
  expect(printed(await run(`endpoint diff ${base} ${base + 2}`))).toBe(inOrder.join(''));
  expect(printed(await run(`endpoint diff ${base} first`))).toBe(`~ first (port ${first})\n    maxQueuedMessages  1000 → 20\n`);
  expect(printed(await run(`endpoint diff ${base + 4} ${base} d1`))).toBe(`- d1 (port ${port})\n`);
  expect(await json(`endpoint diff ${base + 1} now d1`)).toEqual([]);
  expect(await run(`endpoint diff ${base} 99999`)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no revision 99999'),
  });
});

test('TLS: texts stay texts, a secret in an argument is warned of, problems of the material are shown', async () => {
  const refused = await run(
    `endpoint add port=${free[2]} host=127.0.0.1 sslConfig.enabled=true sslConfig.cert=none.pem sslConfig.key=none.pem sslConfig.passphrase=123`,
  );
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain('warning: sslConfig.passphrase is in an argument');
  expect(refused.stderr).toContain('none.pem');
  expect(refused.stderr).not.toContain('must be a string');
  const identity = Authority.root(certificateFolder()).issue('localhost');
  printed(
    await run(
      `endpoint add port=${free[2]} id=tls host=127.0.0.1 sslConfig.enabled=true sslConfig.cert=${identity.cert} sslConfig.key=${identity.key}`,
    ),
  );
  expect(cells(printed(await run('endpoint list'))).find(([id]) => id === 'tls')?.[3]).toBe('tls');
  expect(printed(await run('endpoint get tls'))).toMatch(/^sslConfig\.clientAuth +none$/m);
  printed(await run('endpoint remove tls'));
});

test('on a terminal a table is coloured, and cut to its width; NO_COLOR is respected', async () => {
  printed(await run(`endpoint update first --reason '${'long '.repeat(40)}' maxQueuedMessages=21`));
  const { output } = await onTerminal('endpoint history first', held.broker.dir, '');
  expect(output).toContain('\u001b[1mREV');
  for (const line of stripVTControlCharacters(output).split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  const plain = await onTerminal('endpoint list', held.broker.dir, '', { NO_COLOR: '1' });
  expect(plain.output).not.toContain('\u001b[');
  expect((await onTerminal('endpoint list', held.broker.dir, '')).output).toContain('\u001b[32mlistening\u001b[0m');
});

test('ban add, list and remove', async () => {
  expect(printed(await run('ban add address ::ffff:10.1.2.3/104 --for 1h --reason scan'))).toMatch(
    /^banned: address 10\.0\.0\.0\/8 until 2/,
  );
  expect(printed(await run("ban add client-pattern 'bot-*' --namespace 7"))).toBe('banned: client-pattern bot-*\n');
  const table = cells(printed(await run('ban list')));
  expect(table[0]).toEqual(['BAN', 'OF', 'NAMESPACE', 'UNTIL', 'BY', 'REASON']);
  expect(table[1]?.slice(0, 2)).toEqual(['address', '10.0.0.0/8']);
  expect(await json('ban list --by client-pattern')).toMatchObject({ bans: [{ clientIdPattern: 'bot-*', namespace: '7', until: null }] });
  expect(printed(await run('ban list -q'))).toBe('10.0.0.0/8\nbot-*\n');
  expect((await run('ban remove client-pattern bot-*')).code).toBe(1);
  expect(printed(await run('ban remove client-pattern bot-* --namespace 7'))).toBe('removed\n');
  expect(printed(await run('ban remove address 10.0.0.0/8 -q'))).toBe('');
  for (const line of ['ban add', 'ban add x y', 'ban add client', 'ban add client a b', 'ban add client a --for 1h --until 2030-01-01'])
    expect([line, (await run(line)).code]).toEqual([line, 2]);
  expect(await run('ban add client a --until 2001-01-01')).toMatchObject({ code: 1, stderr: expect.stringContaining('is in the past') });
});

test('acl test: the word, the reason and the rule', async () => {
  const rule = { permission: 'deny', subject: { type: 'user', value: 'eve' }, action: 'pubsub', topic: 'a/#' };
  writeFileSync(join(held.broker.dir, 'rules.json'), JSON.stringify({ aclConfig: [rule] }));
  printed(await run('endpoint update first --file rules.json'));
  const denied = printed(await run(`acl test first publish a/b --client c1 --username eve --ip 10.0.0.1`)).split('\n');
  expect(denied[0]).toBe('denied: aclConfig.rules.0 decides, with order first-match');
  expect(JSON.parse(denied[1]!)).toEqual(rule);
  expect(printed(await run(`acl test ${first} subscribe a/#`))).toBe('allowed: no rule decides: aclConfig.default is allow\n');
  expect(printed(await run('acl test first subscribe # --username eve -q'))).toBe('denied\n');
  expect(await json('acl test first publish a/b --username eve')).toMatchObject({ allowed: false, path: 'aclConfig.rules.0', rule });
  const conditional = JSON.stringify({ aclConfig: [{ ...rule, action: 'publish', qos: 2, retain: true }] });
  writeFileSync(join(held.broker.dir, 'rules.json'), conditional);
  printed(await run('endpoint update first --file rules.json'));
  expect(printed(await run('acl test first publish a/b --username eve --qos 2 --retain -q'))).toBe('denied\n');
  expect(printed(await run('acl test first publish a/b --username eve --qos 2 -q'))).toBe('allowed\n');
  expect(await run('acl test nobody publish a')).toMatchObject({ code: 1, stdout: '' });
  expect(await run('acl test first publish a/#')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('expected a topic name'),
  });
  printed(await run('endpoint update first aclConfig=null'));
});
