/** How large the files of a process may be (RLIMIT_FSIZE): writing fails with EFBIG beyond it, also in a file that was opened before. Needs no root. */

import { execFileSync } from 'node:child_process';

/** @param bytes null: as large as they like. What is written within a file, below the limit, is not refused */
export function limitFileSize(pid: number, bytes: number | null): void {
  execFileSync('prlimit', ['--pid', `${pid}`, `--fsize=${bytes ?? 'unlimited'}:unlimited`]);
}

/** This system has the tool. */
export const canLimit = (() => {
  try {
    limitFileSize(process.pid, null);
    return true;
  } catch {
    return false;
  }
})();
