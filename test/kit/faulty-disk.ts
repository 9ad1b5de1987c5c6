/** A disk that fails on demand: writes below a folder fail with an error of the test's choice. Needs a C compiler, but not root. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'faulty-disk.c');
const folder = mkdtempSync(join(tmpdir(), 'fluxmq-faulty-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** The library to load; null without a compiler. */
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
  /** environment of the broker under test */
  env: Record<string, string>;
  /** @param error the name of an errno(3) value; null: writes succeed again */
  fail(error: keyof typeof constants.errno | null): void;
}

/** @param below path of a folder: writes below it fail */
export function faultyDisk(below: string): FaultyDisk {
  const control = join(folder, 'error');
  writeFileSync(control, '0');
  return {
    env: { LD_PRELOAD: library ?? '', FAULTY_FOLDER: `${below}/`, FAULTY_ERROR: control },
    fail: (error) => writeFileSync(control, `${error === null ? 0 : constants.errno[error]}`),
  };
}
