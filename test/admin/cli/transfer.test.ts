/** `fluxmq export`, `import`, `backup` and `restore` against a broker. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { commandIn, onTerminal, printed } from './command.ts';

const SECRET = 'do not tell';
const USERS = { authType: 'fixed', authConfig: { users: [{ username: 'u', password: SECRET }] } };
const held = useBroker(() => ({ endpoints: [{ id: 'first', isDefault: true, ...USERS }] }));
const run = commandIn(() => held.broker.dir);
let first: number;
let ports: number[];

beforeAll(async () => {
  first = held.broker.ports[0]!;
  ports = [await freePort(), await freePort(), await freePort()];
});

async function json(line: string): Promise<unknown> {
  return JSON.parse(printed(await run(`${line} --json`)));
}

async function newest(): Promise<number> {
  return ((await json('endpoint history --limit 1')) as { revision: number }[])[0]!.revision;
}

test('export and import: merge, replace, dry run, all problems of a wrong file; secrets stay hidden', async () => {
  const { dir } = held.broker;
  const masked = await run('export', { ownProcess: true });
  const exported = printed(masked);
  expect(exported).not.toContain(SECRET);
  expect(masked.stderr).toMatch(/^note: Secrets are masked: .* with --secrets include in clear\.$/m);
  expect(JSON.parse(exported)).toMatchObject({ version: 1, configs: [{ id: 'first' }] });
  printed(await run('export --secrets include --output clear.json'));
  expect(readFileSync(join(dir, 'clear.json'), 'utf8')).toContain(SECRET);
  expect(statSync(join(dir, 'clear.json')).mode & 0o777).toBe(0o600);
  const configs = ports.map((port, index) => ({ port, id: `i${index}`, host: '127.0.0.1', namespace: 'imported' }));
  writeFileSync(join(dir, 'three.json'), JSON.stringify({ configs }));
  const base = await newest();
  const dry = printed(await run('import three.json --dry-run'));
  expect(dry).toContain('3 added, 0 updated, 0 removed, 0 unchanged: a dry run, nothing was changed');
  expect(await newest()).toBe(base);
  const done = printed(await run('import three.json --reason bulk'));
  expect(done).toContain(`+ i0 (port ${ports[0]})`);
  expect(done).toContain(`imported 3 changes: 3 added, 0 updated, 0 removed, 0 unchanged, revision ${base + 1}`);
  expect(printed(await run('import -', { input: JSON.stringify({ configs }), ownProcess: true }))).toContain('nothing to do');
  const bad = await run('import -', { input: JSON.stringify({ configs: [{ port: 0 }, { port: ports[0], colour: 1 }] }) });
  expect(bad).toMatchObject({ code: 1, stdout: '' });
  for (const part of ['configs[0].port', 'configs[1].colour: unknown key']) expect(bad.stderr).toContain(part);
  expect(await json('import clear.json --mode replace')).toMatchObject({ removed: 3, revision: base + 2 });
  expect((await run('import -', { input: '{"x"' })).code).toBe(2);
  for (const command of ['import', 'restore']) {
    const list = await run(`${command} -`, { input: '[]' });
    expect(list).toMatchObject({ code: 2, stderr: expect.stringContaining('standard input: expected an object with a list "configs"') });
  }
});

test('an import of many is one line of the history, and one row an endpoint with --long', async () => {
  const configs = Array.from({ length: 8 }, (_, index) => ({ port: 40_000 + index, id: `m${index}`, host: '127.0.0.1', enabled: false }));
  printed(await run('import -', { input: JSON.stringify({ configs }) }));
  const [, line] = printed(await run('endpoint history --limit 1'))
    .trimEnd()
    .split('\n');
  expect(line).toMatch(/ import {2}\(8 endpoints\) .* 8 added, 0 updated, 0 removed$/);
  expect(
    printed(await run('endpoint history --limit 1 --long'))
      .trimEnd()
      .split('\n'),
  ).toHaveLength(8);
  expect(printed(await run('endpoint history m3'))).toMatch(/ m3 .* port 40003$/m);
  printed(await run(`endpoint rollback ${(await newest()) - 1} --yes -q`));
});

test('backup and restore', async () => {
  const { dir } = held.broker;
  printed(await run('backup --secrets include -o backup.json'));
  const backup = JSON.parse(readFileSync(join(dir, 'backup.json'), 'utf8')) as {
    revision: number;
    history: unknown[];
    configs: unknown[];
  };
  expect(backup).toMatchObject({ kind: 'fluxmq-backup', revision: await newest() });
  expect(backup.history.length).toBeGreaterThan(0);
  printed(await run(`endpoint add port=${ports[0]} id=late host=127.0.0.1`));
  printed(await run('endpoint update first maxQueuedMessages=77'));
  expect(printed(await run('restore backup.json --dry-run'))).toContain('a dry run, nothing was changed');
  const unasked = await run('restore backup.json --reason drill');
  expect(unasked).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('0 added, 1 updated, 1 removed, 0 unchanged') });
  expect(unasked.stderr).toContain('give --yes');
  const before = await newest();
  const no = await onTerminal('restore backup.json', dir, 'n');
  expect(no).toMatchObject({ code: 1, output: expect.stringContaining(`- late (port ${ports[0]})`) });
  expect(no.output).toContain('Restore? [y/N]');
  expect(no.output).toContain('nothing was changed');
  expect(await newest()).toBe(before);
  const restored = await run('restore backup.json --yes --reason drill');
  expect(printed(restored)).toMatch(/^restored 2 changes: 0 added, 1 updated, 1 removed, 0 unchanged, revision \d+$/m);
  expect(await json('endpoint list')).toMatchObject({ total: 1, endpoints: { [first]: { maxQueuedMessages: 1000 } } });
  expect(await run('restore -', { input: '{"kind": "something else"}' })).toMatchObject({ code: 1, stdout: '' });
  // A command that takes nothing away, or does nothing, needs no yes.
  expect(printed(await run('restore backup.json'))).toContain('nothing to do');
  const more = { ...backup, configs: [...backup.configs, { port: ports[0], id: 'more', host: '127.0.0.1', enabled: false }] };
  expect(printed(await run('restore -', { input: JSON.stringify(more) }))).toContain('restored 1 change: 1 added, 0 updated, 0 removed');
  expect(await onTerminal('restore backup.json', dir, 'y')).toMatchObject({
    code: 0,
    output: expect.stringContaining('restored 1 change'),
  });
});

test('apply makes the endpoints what a configuration file says, with a plan before', async () => {
  const [kept, gone] = [await freePort(), await freePort()];
  printed(await run(`endpoint add port=${gone} id=gone host=127.0.0.1 enableAuth=false`));
  const { configs } = JSON.parse(printed(await run('export'))) as { configs: Record<string, unknown>[] };
  const endpoints = [...configs.filter(({ id }) => id !== 'gone'), { port: kept, id: 'come', host: '127.0.0.1', enableAuth: false }];
  writeFileSync(join(held.broker.dir, 'wanted.yaml'), JSON.stringify({ http: { port: 1 }, acl: { default: 'allow' }, endpoints }));
  const dry = await run('apply wanted.yaml --dry-run');
  expect(dry.stderr).toContain('note: acl are read by each node');
  expect(printed(dry)).toMatch(/1 added, 0 updated, 1 removed, \d+ unchanged: a dry run/);
  expect(printed(await run('apply wanted.yaml'))).toMatch(/applied 2 changes: 1 added, 0 updated, 1 removed/);
  expect(printed(await run('apply wanted.yaml'))).toContain('nothing to do');
  const none = await run('apply backup-that-is-not-there.yaml');
  expect(none.code).toBe(2);
  printed(await run('endpoint remove come'));
});
