/** Files that a broker under test loads into each of its threads before anything else. */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { transformSync } from 'esbuild';

const FOLDER = resolve(import.meta.dirname, '../../.prepare/preload');
const made = new Map<string, string>();

/**
 * The option for NODE_OPTIONS that loads `source`, a TypeScript file without imports of its own files. Its types are removed here, once: with
 * the file itself, each thread of each broker would load Node's TypeScript compiler, which takes 0.15 s of CPU time.
 * @param source absolute path
 */
export function preload(source: string): string {
  let file = made.get(source);
  if (file === undefined) {
    file = join(FOLDER, `${basename(source, '.ts')}.mjs`);
    mkdirSync(FOLDER, { recursive: true });
    // in one step: another test process may load it at this moment
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, transformSync(readFileSync(source, 'utf8'), { loader: 'ts', target: 'node22', sourcemap: 'inline' }).code);
    renameSync(draft, file);
    made.set(source, file);
  }
  return `--import ${file} --no-warnings`;
}
