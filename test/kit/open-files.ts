/** Limits the files and sockets that a process may have open (RLIMIT_NOFILE), and counts those that it has. Needs no root. */

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

/** Lowers or raises the soft limit of a running process, up to its hard limit. Open files stay open. */
export function limitOpenFiles(pid: number, files: number): void {
  execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${files}:`]);
}

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
