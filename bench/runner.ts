/** Runs one scenario against one broker: a fresh broker process on one CPU, a fresh load generator on another. */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/kernel/errors.ts';
import { freePort } from '../test/kit/free-port.ts';
import { endProcess, findProgram, type Inside, launchOn, type Peer, waitForPort } from './peers/peer.ts';
import { NO_RESULT, type Order, type RunResult, type Scenario } from './scenario.ts';

const RUN_LIMIT_MS = 180_000;
/** True when processes can be pinned to CPUs of their own. */
export const isPinned: boolean = availableParallelism() > 1 && findProgram('taskset') !== null && existsSync('/proc/self/stat');
export const BROKER_CPU: number | null = isPinned ? 0 : null;
export const LOAD_CPU: number | null = isPinned ? 1 : null;

export interface RunLengths {
  warmup: number;
  duration: number;
  /** count system calls instead of measuring */
  isTraced: boolean;
}

export interface Run extends RunResult {
  /** null = this broker reports nothing */
  inside: Inside | null;
}

/** Runs once. Never throws: an error becomes the `failure` of the result. */
export async function runOnce(scenario: Scenario, peer: Peer, lengths: RunLengths): Promise<Run> {
  const dir = mkdtempSync(join(tmpdir(), 'fluxmq-bench-'));
  const port = await freePort();
  const adminPort = await freePort();
  const broker = launchOn(BROKER_CPU, peer.command(dir, port, scenario.needs, adminPort), dir);
  try {
    await waitForPort(port, broker);
    const { warmup, duration, isTraced } = lengths;
    const tracer = isTraced ? findProgram('strace') : null;
    const run = await generate({ load: scenario.load, port, brokerPid: broker.pid!, warmup, duration, tracer });
    const inside = isTraced ? null : ((await peer.inside?.(adminPort)) ?? null);
    return { ...run, inside };
  } catch (error) {
    return { ...NO_RESULT, inside: null, failure: messageOf(error) };
  } finally {
    await endProcess(broker);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Runs the load generator. @throws Error when it ends without a result */
export async function generate(order: Order): Promise<RunResult> {
  const script = join(import.meta.dirname, 'load/main.ts');
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', script, JSON.stringify(order)];
  const [command, ...args] = LOAD_CPU === null ? node : ['taskset', '-c', String(LOAD_CPU), ...node];
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-2000);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_LIMIT_MS);
  await new Promise<void>((resolve) => child.once('close', () => resolve()));
  clearTimeout(timer);
  if (output === '') throw new Error(`the load generator ended without a result: ${errors.trim().split('\n').at(-1)}`);
  return JSON.parse(output) as RunResult;
}
