/** Counts the system calls of a process with strace. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './peers/peer.ts';

/** Attaches to a process and all its threads; `stop` gives the number of calls, null when they could not be counted. */
export function countSyscalls(pid: number, dir: string): { stop(): Promise<number | null> } {
  const file = join(dir, 'strace.txt');
  const program = findProgram('strace');
  if (program === null) return { stop: () => Promise.resolve(null) };
  const child = spawn(program, ['-c', '-f', '-p', String(pid), '-o', file], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  return {
    stop: async () => {
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(timer);
      try {
        // "100.00    0.012345           5      2345        12 total"
        const total = readFileSync(file, 'utf8')
          .split('\n')
          .find((line) => line.endsWith('total'));
        return total === undefined ? null : Number(total.trim().split(/\s+/)[3]);
      } catch {
        return null;
      }
    },
  };
}
