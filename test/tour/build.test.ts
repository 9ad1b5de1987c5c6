/** The built files: what they load, and that a stack trace names the sources. */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './started.ts';

const DIST = join(ROOT, 'dist');
const built = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js') && !name.startsWith('static'));

/** The imports of a built file, by statement or by call. */
function importsOf(name: string): string[] {
  const text = readFileSync(join(DIST, name), 'utf8');
  const found = text.matchAll(/^(?:import|export) (?:[^'"\n]* from )?"([^"]+)";$|\bimport\("([^"]+)"\)/gm);
  return [...found].map(([, statement, call]) => statement ?? call ?? '');
}

test('libraries are part of the built files, except those with files of their own', () => {
  expect(built).toContain('main.js');
  // @redis/client can use xxhash, in a command that nobody sends.
  const optional = '@node-rs/xxhash';
  const found = built.flatMap(importsOf).filter((name) => !isBuiltin(name) && !name.startsWith('.'));
  const packages = new Set(found.filter((name) => name !== optional));
  expect([...packages].sort()).toEqual(['@node-rs/argon2', '@node-rs/bcrypt', 'better-sqlite3', 'piscina']);
});

test('the library of a store or of the bus is loaded only where it is used', () => {
  const seen = new Set<string>();
  const visit = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = readFileSync(join(DIST, name), 'utf8');
    for (const [, part] of text.matchAll(/^(?:import|export) (?:[^'"\n]* from )?"\.\/([^"]+)";$/gm)) visit(join('main-parts', part ?? ''));
  };
  const program = built.find((name) => name.startsWith('main-parts/program-'))!;
  visit(program);
  const text = [...seen].map((name) => readFileSync(join(DIST, name), 'utf8')).join('\n');
  for (const library of ['zod', 'pino', 'prom-client']) expect(text).toContain(`// node_modules/${library}/`);
  for (const library of ['mysql2', 'postgres', 'nats']) expect(text).not.toContain(`// node_modules/${library}/`);
});

test('pino looks for no callers, for which Node would decode the whole source map at each start', () => {
  const program = built.find((name) => name.startsWith('main-parts/program-'))!;
  expect(readFileSync(join(DIST, program), 'utf8')).toMatch(
    /"node_modules\/pino\/lib\/caller\.js"\(.*\) \{\s+module\.exports = \(\) => \[\];\s+\}/,
  );
});

test('a stack trace names the lines of the sources', () => {
  const worker = join(DIST, 'workers/session-worker.js');
  const { stderr, status } = spawnSync(process.execPath, ['--enable-source-maps', worker], { encoding: 'utf8', timeout: 20_000 });
  expect(status).not.toBe(0);
  expect(stderr).toMatch(/at .*workers\/session-worker\.ts:\d+:\d+/);
});

test('a thread carries no second copy of Node’s streams', () => {
  for (const name of built) expect(readFileSync(join(DIST, name), 'utf8'), name).not.toContain('// node_modules/readable-stream/');
});
