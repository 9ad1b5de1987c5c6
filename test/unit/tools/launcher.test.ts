/** `./fluxmq`: its arguments, its exit codes, and that it becomes the broker process. */

import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
let project: string;

/** A project with the real launcher, whose broker tells its pid, arguments and folder, and then waits for a signal. */
beforeAll(() => {
  project = realpathSync(mkdtempSync(join(tmpdir(), 'fluxmq-launcher-')));
  for (const folder of ['scripts', 'dist', 'node_modules/.bin', 'elsewhere']) mkdirSync(join(project, folder), { recursive: true });
  copyFileSync(join(ROOT, 'fluxmq'), join(project, 'fluxmq'));
  writeFileSync(join(project, 'package.json'), '{\n  "version": "1.2.3"\n}\n');
  writeFileSync(join(project, 'scripts/prepare'), '#!/bin/sh\n', { mode: 0o755 });
  const broker = `process.on('SIGTERM', () => process.exit(7));
process.stdout.write(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), options: process.execArgv, cwd: process.cwd() }) + '\\n');
setTimeout(() => {}, process.argv[2] === 'check' ? 0 : 20000);`;
  writeFileSync(join(project, 'dist/main.js'), broker);
  symlinkSync(process.execPath, join(project, 'node_modules/.bin/node'));
  symlinkSync('../fluxmq', join(project, 'elsewhere/link'));
});

afterAll(() => rmSync(project, { recursive: true }));

function run(...args: string[]): SpawnSyncReturns<string> {
  return runWith({}, ...args);
}

function runWith(env: NodeJS.ProcessEnv, ...args: string[]): SpawnSyncReturns<string> {
  const cwd = join(project, 'elsewhere');
  return spawnSync(join(project, 'fluxmq'), args, {
    encoding: 'utf8',
    timeout: 10_000,
    cwd,
    env: { ...process.env, FLUXMQ_NODE: '', ...env },
  });
}

test('becomes the broker: the pid and the signals are its own', async () => {
  const env = { ...process.env, FLUXMQ_NODE: '22' };
  const child = spawn(join(project, 'fluxmq'), ['start'], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'], env });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const told = JSON.parse(line.toString()) as { pid: number; options: string[] };
  expect(told.pid).toBe(child.pid);
  expect(told.options).toContain('--disable-sigusr1');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([7, null]);
});

test.each([[['check', '--config', 'a b.yaml']], [['check', '--config=a b.yaml']]])(
  '%j is passed on, in the working directory of the caller',
  (args) => {
    const told = JSON.parse(run(...args).stdout) as unknown;
    expect(told).toMatchObject({ args: ['check', '--config', 'a b.yaml'], cwd: join(project, 'elsewhere') });
  },
);

test('FLUXMQ_NODE=24 runs the other Node, for the broker and for commands', () => {
  const folder = join(project, '.prepare/node-24/node_modules/.bin');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'node'), '#!/bin/sh\necho "24 $*"\n', { mode: 0o755 });
  expect(runWith({ FLUXMQ_NODE: '24' }, 'check', '--config', 'a').stdout).toMatch(/^24 --disable-sigusr1 .*main\.js check --config a\n$/);
  expect(runWith({ FLUXMQ_NODE: '24' }, 'endpoint', 'list').stdout).toMatch(/^24 .*cli\.js endpoint list\n$/);
  for (const other of ['22', '', '{"name":"a"}']) {
    expect(runWith({ FLUXMQ_NODE: other }, 'check', '--config', 'a').stdout).not.toContain('24 ');
  }
});

test('works through a symbolic link', () => {
  const result = spawnSync(join(project, 'elsewhere/link'), ['--version'], { encoding: 'utf8', timeout: 10_000 });
  expect(result.stdout).toBe('1.2.3\n');
});

test('--help and --version need nothing installed', () => {
  expect(run('--version')).toMatchObject({ status: 0, stdout: '1.2.3\n' });
  expect(run('--help')).toMatchObject({ status: 0, stderr: '' });
  expect(run('start', '--help').stdout).toContain('./fluxmq check --config FILE');
});

test.each([
  [['bogus'], 'unknown command: bogus'],
  [[], 'which command?'],
  [['start', '--port', '1'], 'unknown argument: --port'],
  [['start', '--config'], '--config needs a file'],
  [['check'], 'check needs --config FILE'],
])('%j prints the usage, exit 2', (args, why) => {
  const result = run(...args);
  expect(result.status).toBe(2);
  expect(result.stderr).toContain(why);
  expect(result.stderr).toContain('./fluxmq start [--config FILE]');
  expect(result.stdout).toBe('');
});
