/** `npm run dev [-- ARGUMENTS of start]`: starts the broker, and on each change of a source builds it anew and restarts it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const WATCHED = ['src', 'workers'];
/** An editor saves in several steps, and a branch has many files: the build waits for this long a silence. */
const QUIET_MS = 200;
/** A broker that has not ended by then is killed; its own shutdownTimeout is 10 s. */
const STOP_MS = 15_000;

let broker: ChildProcess | null = null;
let isEnding = false;
let isBuilding = false;
let isStale = false;
let timer: NodeJS.Timeout | undefined;

function say(text: string): void {
  process.stderr.write(`dev: ${text}\n`);
}

function start(): void {
  const args = ['--enable-source-maps', join(ROOT, 'dist', 'main.js'), 'start', ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  broker = child;
  child.once('exit', (code, signal) => {
    if (broker !== child) return;
    broker = null;
    if (!isEnding) say(`the broker ended (${signal ?? code}); it starts again with the next change`);
  });
}

async function stop(): Promise<void> {
  const child = broker;
  broker = null;
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  child.kill('SIGTERM');
  await once(child, 'exit');
  clearTimeout(late);
}

async function build(): Promise<boolean> {
  const child = spawn(process.execPath, [join(ROOT, 'esbuild.config.mjs')], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}

/** Builds, then restarts. The running broker stays while the build takes and when it fails. */
async function renew(): Promise<void> {
  if (isBuilding) {
    isStale = true;
    return;
  }
  isBuilding = true;
  do {
    isStale = false;
    if (!(await build())) say('the build failed; the broker stays as it is');
    else if (!isStale && !isEnding) {
      await stop();
      if (!isEnding) start();
    }
  } while (isStale && !isEnding);
  isBuilding = false;
}

for (const folder of WATCHED) {
  watch(join(ROOT, folder), { recursive: true }, () => {
    clearTimeout(timer);
    timer = setTimeout(() => void renew(), QUIET_MS);
  });
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    isEnding = true;
    void stop().then(() => process.exit(0));
  });
}
start();
