/** Counts the system calls of a process with strace. */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ATTACH_MS = 5000;

/** Attaches to a process and all its threads. `stop` returns the number of calls in between, or null when strace could not count them. */
export async function countSyscalls(program: string, pid: number): Promise<{ stop(): Promise<number | null> }> {
  const dir = mkdtempSync(join(tmpdir(), 'fluxmq-bench-'));
  const file = join(dir, 'strace.txt');
  const child = spawn(program, ['-c', '-f', '-p', String(pid), '-o', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  // strace reports its attachments: the process first, then its threads in one line.
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ATTACH_MS);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (!text.includes('attached')) return;
      clearTimeout(timer);
      resolve();
    });
    void ended.then(resolve);
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
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}
