/** The data of a database server that was installed once and never started, kept for the next servers: to install takes 2 s of CPU time. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const KEPT = resolve(import.meta.dirname, '../../../.prepare/databases');

/** The folder of this command's data: another one for other arguments, another major version of Postgres, or another user. */
function placeOf(name: string, install: string[], folder: string): string {
  const text = [process.getuid?.(), ...install].join('\n').replaceAll(folder, '');
  return join(KEPT, `${name}-${createHash('sha256').update(text).digest('hex').slice(0, 12)}`);
}

/** The copy has the owner of the original, and keeps the holes of its files. */
async function copy(from: string, to: string): Promise<void> {
  await execute('cp', ['-a', '--sparse=always', from, to]);
}

/**
 * Makes `<folder>/data` from the kept copy.
 * @param install the command that would make it
 * @returns false when nothing was kept yet
 */
export async function copyInstalled(name: string, install: string[], folder: string): Promise<boolean> {
  const kept = placeOf(name, install, folder);
  if (!existsSync(kept)) return false;
  await copy(kept, join(folder, 'data'));
  return true;
}

/** Keeps `<folder>/data`, which the command has made. */
export async function keepInstalled(name: string, install: string[], folder: string): Promise<void> {
  const kept = placeOf(name, install, folder);
  const draft = `${kept}.${process.pid}`;
  mkdirSync(KEPT, { recursive: true });
  await copy(join(folder, 'data'), draft);
  try {
    // in one step: another test process may look at this moment
    renameSync(draft, kept);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // another process was faster
    if (!existsSync(kept)) throw error;
  }
}
