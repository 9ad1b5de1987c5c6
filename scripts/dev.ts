/** `npm run dev [-- ARGUMENTS of start]`: starts the broker, and on each change of a source builds it anew and restarts it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const WATCHED = ['src', 'workers'];
/** The build waits until no file has changed for this time, because an editor saves in several steps, and a branch has many files. */
const QUIET_MS = 200;
/** A broker that has not ended within this time is killed; its own shutdownTimeout is 10 s. */
const STOP_MS = 15_000;

let broker: ChildProcess | null = null;
let builder: ChildProcess | null = null;
let stopped: Promise<void> = Promise.resolve();
let isEnding = false;
let isBuilding = false;
let isStale = false;
let timer: NodeJS.Timeout | undefined;

function say(text: string): void {
  process.stderr.write(`dev: ${text}\n`);
}

function start(): void {
  const args = ['--enable-source-maps', join(ROOT, 'dist', 'main.js'), 'start', ...process.argv.slice(2)];
  // Outside of this process group: Ctrl-C would reach the broker beside the SIGTERM of stop(), and a second signal ends it at once.
  const child = spawn(process.execPath, args, { stdio: 'inherit', detached: true });
  broker = child;
  child.once('exit', (code, signal) => {
    if (broker !== child) return;
    broker = null;
    if (!isEnding) say(`the broker ended (${signal ?? code}); it starts again with the next change`);
  });
}

/** Resolves when no broker runs any more, also after an earlier call. */
function stop(): Promise<void> {
  stopped = stopped.then(stopBroker);
  return stopped;
}

async function stopBroker(): Promise<void> {
  const child = broker;
  broker = null;
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  child.kill('SIGTERM');
  await once(child, 'exit');
  clearTimeout(late);
}

async function build(): Promise<boolean> {
  builder = spawn(process.execPath, [join(ROOT, 'esbuild.config.mjs')], { stdio: 'inherit' });
  const [code] = (await once(builder, 'exit')) as [number | null];
  builder = null;
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
    const isBuilt = await build();
    if (!isBuilt && !isEnding) say('the build failed; the broker stays as it is');
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
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (isEnding) return;
    isEnding = true;
    builder?.kill();
    void stop().then(() => process.exit(0));
  });
}
start();
