/** A disk that fails when a test says so: what a broker writes below a folder fails with an error of the test's choice. Needs a C compiler, and no root. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'faulty-disk.c');
const folder = mkdtempSync(join(tmpdir(), 'fluxmq-faulty-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** The library to load; null: there is no compiler here. */
const library = (() => {
  const built = join(folder, 'faulty-disk.so');
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', built, SOURCE, '-ldl'], { stdio: 'ignore' });
    return built;
  } catch {
    return null;
  }
})();

export const canFail = library !== null;

export interface FaultyDisk {
  /** for the broker that is to write to it */
  env: Record<string, string>;
  /** @param error name as in errno(3); null: it works */
  fail(error: keyof typeof constants.errno | null): void;
}

/** @param below path of a folder: what is written there fails */
export function faultyDisk(below: string): FaultyDisk {
  const control = join(folder, 'error');
  writeFileSync(control, '0');
  return {
    env: { LD_PRELOAD: library ?? '', FAULTY_FOLDER: `${below}/`, FAULTY_ERROR: control },
    fail: (error) => writeFileSync(control, `${error === null ? 0 : constants.errno[error]}`),
  };
}
