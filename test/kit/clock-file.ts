/** The wall clock of a broker under test, in a file (wall-clock.ts). */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { preload } from './preload.ts';

const HOOK = join(import.meta.dirname, 'wall-clock.ts');

/** The environment of a broker whose clock the file `path` controls. */
export function clockEnv(path: string): Record<string, string> {
  setClock(path, '0');
  return { KIT_CLOCK: path, NODE_OPTIONS: preload(HOOK) };
}

/** @param to milliseconds to add, or `at N` */
export function setClock(path: string, to: string): void {
  writeFileSync(path, to);
}
