/** Limits the size of a process's files (RLIMIT_FSIZE). Writing beyond the limit fails with EFBIG, also in open files. Needs no root. */

import { execFileSync } from 'node:child_process';

/** @param bytes null: no limit. Writes inside a file, below the limit, still succeed */
export function limitFileSize(pid: number, bytes: number | null): void {
  execFileSync('prlimit', ['--pid', `${pid}`, `--fsize=${bytes ?? 'unlimited'}:unlimited`]);
}

/** Whether this system has the tool. */
export const canLimit = (() => {
  try {
    limitFileSize(process.pid, null);
    return true;
  } catch {
    return false;
  }
})();
