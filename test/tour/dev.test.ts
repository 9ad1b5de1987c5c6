/** `npm run dev` on a copy of the sources: it starts, survives a failed build, restarts on a change, and leaves no process. */

import { spawn } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { patience } from '../kit/load.ts';
import { until, within } from '../kit/until.ts';
import { environment, freshFolder, ROOT } from './started.ts';

/** The files of the project that the command needs; the packages are linked. */
const PARTS = ['src', 'workers', 'native', 'dist', 'scripts', 'esbuild.config.mjs', 'package.json', 'package-lock.json'];
const STEP_MS = patience(20_000);

const folder = freshFolder();

/** Ids of all processes whose command line names the folder. */
function running(): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

afterEach(() => {
  for (const pid of running()) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('npm run dev builds and restarts on a change, keeps the broker when a build fails, and ends with Ctrl-C', async () => {
  for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const source = join(folder, 'src/program.ts');
  const text = readFileSync(source, 'utf8');
  expect(text).toContain(' is ready: admin ');

  const env = environment(await freePort(), { port: await freePort() });
  // A process group of its own, as a shell makes for each command.
  const child = spawn('npm', ['run', 'dev'], { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      output += part;
    });
  }
  const said = (part: string) => until(part, () => output.includes(part) || Promise.reject(new Error(output)), STEP_MS);
  await said(' is ready: admin ');
  writeFileSync(source, `${text}\nconst broken = ;\n`);
  await said('dev: the build failed; the broker stays as it is');
  expect(output).not.toContain('stopped in order');
  writeFileSync(source, text.replace(' is ready: admin ', ' is ready anew: admin '));
  await said(' is ready anew: admin ');
  expect(output.match(/stopped in order/g)).toHaveLength(1);

  const ended = new Promise((resolve) => child.once('exit', resolve));
  process.kill(-child.pid!, 'SIGINT');
  await within('end of npm run dev', STEP_MS, ended);
  await until('no process of it', () => running().length === 0, STEP_MS);
  expect(output.match(/stopped in order/g)).toHaveLength(2);
}, 120_000);
