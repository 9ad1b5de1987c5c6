/** Separate processes that write to a store: one that commits until it is killed, and many that compete for the same endpoints. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundled } from '../kit/preload.ts';
import { until } from '../kit/until.ts';
import type { StoreSpec } from './databases.ts';

const scriptPath = (name: string) => fileURLToPath(bundled(join(import.meta.dirname, name)));

export type Committer = ChildProcess & { lines: string[] };

export function startCommitting(spec: StoreSpec): Committer {
  const child = spawn(process.execPath, [scriptPath('commit-forever.ts'), JSON.stringify(spec)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return Object.assign(child, { lines });
}

/** Waits until the child has printed a revision. @returns its last printed revision */
export async function answered(child: Committer, revision: number): Promise<number> {
  await until(`revision ${revision}`, () => Number(child.lines.at(-1) ?? 0) >= revision || child.exitCode !== null, 25_000, 2);
  if (child.exitCode !== null) throw new Error(`the child ended before revision ${revision}`);
  return Number(child.lines.at(-1));
}

/** Kills the child with SIGKILL; returns the last revision that it printed. */
export async function kill(child: Committer): Promise<number> {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  return Number(child.lines.at(-1) ?? 0);
}

export interface RivalsOrder {
  spec: StoreSpec;
  /** name of the process; part of the reason of its commits */
  name: string;
  writers: number;
  /** commits of each writer */
  commits: number;
  endpoints: number;
}

export interface AnsweredCommit {
  revision: number;
  id: string;
  reason: string;
  /** the revision that it replaced */
  expected: number;
}

/** Runs one process of rivals to its end. */
export async function writeRivals(order: RivalsOrder): Promise<{ answered: AnsweredCommit[]; lost: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [scriptPath('write-rivals.ts'), JSON.stringify(order)]);
  return JSON.parse(stdout) as { answered: AnsweredCommit[]; lost: number };
}
