/** TypeScript of the tests for the threads of others, built once: Node's TypeScript compiler takes 0.15 s of CPU time in each thread. */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync, transformSync } from 'esbuild';

const FOLDER = resolve(import.meta.dirname, '../../.prepare/preload');
const made = new Map<string, string>();

/** Writes `code` in one step, because another test process may load the file at this moment. Returns its path. */
function keep(name: string, code: string): string {
  const file = join(FOLDER, name);
  mkdirSync(FOLDER, { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, code);
  renameSync(draft, file);
  made.set(name, file);
  return file;
}

/**
 * The option for NODE_OPTIONS that loads `source`, a TypeScript file without imports of its own files, into each thread of a broker.
 * @param source absolute path
 */
export function preload(source: string): string {
  const name = `${basename(source, '.ts')}.mjs`;
  const file =
    made.get(name) ?? keep(name, transformSync(readFileSync(source, 'utf8'), { loader: 'ts', target: 'node22', sourcemap: 'inline' }).code);
  return `--import ${file} --no-warnings`;
}

/**
 * The entry of a thread, bundled with what it imports.
 * @param source absolute path of a TypeScript file
 */
export function bundled(source: string): URL {
  const name = `${basename(source, '.ts')}.bundle.mjs`;
  const options = { bundle: true, platform: 'node', format: 'esm', target: 'node22', sourcemap: 'inline', write: false } as const;
  const file = made.get(name) ?? keep(name, buildSync({ ...options, entryPoints: [source], packages: 'external' }).outputFiles[0]!.text);
  return pathToFileURL(file);
}
