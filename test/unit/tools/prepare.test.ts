/** scripts/prepare: does each step once, also when several run at the same time or one was killed, and says why it failed. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
let project: string;

/** A project with the real script, an `npm` that only links Node, and a build that only notes that it ran. */
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'fluxmq-prepare-'));
  for (const folder of ['scripts', 'src', 'workers', 'native', 'bin']) mkdirSync(join(project, folder));
  copyFileSync(join(ROOT, 'scripts/prepare'), join(project, 'scripts/prepare'));
  write('package.json', '{}');
  write('package-lock.json', '{}');
  write('src/a.ts', '1');
  write('workers/b.ts', '1');
  write(
    'esbuild.config.mjs',
    "import { appendFileSync, mkdirSync } from 'node:fs';\nappendFileSync('builds', 'x');\nmkdirSync('dist', { recursive: true });\n",
  );
  npm(`echo "$*" >>npm-runs; sleep 0.3; mkdir -p node_modules/.bin; ln -sf '${process.execPath}' node_modules/.bin/node`);
});

afterEach(() => rmSync(project, { recursive: true }));

function write(path: string, content: string): void {
  writeFileSync(join(project, path), content);
}

function npm(script: string): void {
  writeFileSync(join(project, 'bin/npm'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function prepare(...args: string[]): Promise<{ code: number | null; stderr: string }> {
  return prepareWith('', ...args);
}

/** @param node FLUXMQ_NODE */
async function prepareWith(node: string, ...args: string[]): Promise<{ code: number | null; stderr: string }> {
  const env = { ...process.env, FLUXMQ_NODE: node, PATH: `${join(project, 'bin')}:/usr/bin:/bin` };
  const child = spawn(join(project, 'scripts/prepare'), args, { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const stderr = await text(child.stderr);
  return { code: (await exit)[0], stderr };
}

const runs = () => ({
  npm: readFileSync(join(project, 'npm-runs'), 'utf8').trim().split('\n').length,
  build: readFileSync(join(project, 'builds'), 'utf8').length,
});

test('installs and builds once; nothing when nothing changed', async () => {
  expect(await prepare()).toMatchObject({ code: 0 });
  expect(await prepare()).toEqual({ code: 0, stderr: '' });
  expect(runs()).toEqual({ npm: 1, build: 1 });
  expect(readFileSync(join(project, 'npm-runs'), 'utf8')).toContain('ci --ignore-scripts');
});

test('a changed source is built, a changed lockfile is installed', async () => {
  await prepare();
  write('workers/b.ts', '2');
  await prepare();
  expect(runs()).toEqual({ npm: 1, build: 2 });
  write('package-lock.json', '{ }');
  await prepare();
  expect(runs()).toEqual({ npm: 2, build: 3 });
  rmSync(join(project, 'dist'), { recursive: true });
  await prepare();
  expect(runs()).toEqual({ npm: 2, build: 4 });
});

test('several at once: one works, the others wait', async () => {
  const all = await Promise.all([prepare(), prepare(), prepare(), prepare()]);
  expect(all.map((result) => result.code)).toEqual([0, 0, 0, 0]);
  expect(runs()).toEqual({ npm: 1, build: 1 });
  expect(existsSync(join(project, 'node_modules/.fluxmq-stamp'))).toBe(true);
});

test('the lock of a killed run is taken over', async () => {
  mkdirSync(join(project, '.prepare'));
  symlinkSync('99999999', join(project, '.prepare/lock'));
  expect(await prepare()).toMatchObject({ code: 0 });
  expect(() => lstatSync(join(project, '.prepare/lock'))).toThrow(/ENOENT/);
});

test('installs nothing through a link: npm would empty the folder behind it', async () => {
  mkdirSync(join(project, 'theirs'));
  write('theirs/kept', '1');
  symlinkSync('theirs', join(project, 'node_modules'));
  const refused = await prepare();
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('node_modules is a link');
  expect(existsSync(join(project, 'npm-runs'))).toBe(false);
  expect(existsSync(join(project, 'theirs/kept'))).toBe(true);
});

test('a failed npm is shown, and tried again the next time', async () => {
  npm('echo "the registry is away"; exit 1');
  const failed = await prepare();
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('the registry is away');
  npm(`echo again >>npm-runs; mkdir -p node_modules/.bin; ln -sf '${process.execPath}' node_modules/.bin/node`);
  expect(await prepare()).toMatchObject({ code: 0 });
});

test('a failed build is shown, and tried again the next time', async () => {
  const good = readFileSync(join(project, 'esbuild.config.mjs'), 'utf8');
  write('esbuild.config.mjs', "process.stderr.write('no such entry\\n'); process.exitCode = 1;");
  const failed = await prepare();
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('no such entry');
  write('esbuild.config.mjs', good);
  expect(await prepare()).toMatchObject({ code: 0 });
});

test('without a packaged Node, and with none that fits on the machine, it says so', async () => {
  npm('mkdir -p node_modules');
  writeFileSync(join(project, 'bin/node'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const result = await prepare();
  // a machine whose own Node fits is served by that one
  if (result.code === 0) expect(lstatSync(join(project, 'node_modules/.bin/node')).isSymbolicLink()).toBe(true);
  else expect(result.stderr).toContain('install Node 22 (22.12 or newer) or Node 24 (24.11 or newer)');
});

/** An `npm` that installs Node 24 when it is asked for its folder; the program says that it is any version. */
function bothNodes(program: string): void {
  mkdirSync(join(project, 'scripts/node-24'));
  for (const name of ['package.json', 'package-lock.json']) write(`scripts/node-24/${name}`, '{}');
  npm(`echo "$*" >>npm-runs
case $* in
  *--prefix*)
    mkdir -p .prepare/node-24/node_modules/.bin
    printf '#!/bin/sh\n${program}\n' >.prepare/node-24/node_modules/.bin/node
    chmod 755 .prepare/node-24/node_modules/.bin/node ;;
  *) mkdir -p node_modules/.bin; ln -sf '${process.execPath}' node_modules/.bin/node ;;
esac`);
}

test('FLUXMQ_NODE=24 adds Node 24 in a folder of its own, once, and only when it is asked for', async () => {
  bothNodes('exit 0');
  expect(await prepare()).toMatchObject({ code: 0 });
  expect(existsSync(join(project, '.prepare/node-24'))).toBe(false);
  expect(await prepareWith('24')).toEqual({ code: 0, stderr: 'fluxmq: installing Node 24\n' });
  expect(await prepareWith('24')).toEqual({ code: 0, stderr: '' });
  expect(await prepareWith('22')).toEqual({ code: 0, stderr: '' });
  expect(runs()).toEqual({ npm: 2, build: 1 });
  write('scripts/node-24/package-lock.json', '{ }');
  expect(await prepareWith('24')).toMatchObject({ code: 0 });
  expect(runs()).toEqual({ npm: 3, build: 1 });
});

test('a machine without any Node 24 says so, and the default still works', async () => {
  bothNodes('exit 1');
  const failed = await prepareWith('24');
  // a machine whose own Node is 24 is served by that one
  if (failed.code !== 0) expect(failed.stderr).toContain('there is no packaged Node 24');
  expect(await prepare()).toMatchObject({ code: 0 });
});

test.each(['23', '26', 'next'])('FLUXMQ_NODE=%s is refused with the versions that are supported', async (node) => {
  const { code, stderr } = await prepareWith(node);
  expect(code).toBe(1);
  const supported = 'fluxmq runs on Node 22 (the default, and the only one with uWebSockets.js) and Node 24';
  expect(stderr).toBe(`fluxmq: FLUXMQ_NODE is ${node}, and ${supported}\n`);
});
