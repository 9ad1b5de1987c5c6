/** Bundles main and every thread entry into dist/, with the files of the API's documentation page; a file is replaced in one step. */

import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const DIST = join(ROOT, 'dist');

/** Output path without `.js` → source. */
const ENTRIES: Record<string, string> = {
  'workers/endpoint-worker': 'workers/endpoint-worker.ts',
  'workers/session-worker': 'workers/session-worker.ts',
  'workers/access-task': 'workers/access/access-task.ts',
};

/** In parts of their own: the broker takes its signals before it loads the rest, a command of the command line loads only what it uses. */
const IN_PARTS: Record<string, Record<string, string>> = {
  'main-parts': { main: 'src/main.ts' },
  'cli-parts': { cli: 'src/command-line.ts' },
};

/** The documentation page loads nothing from other hosts, so its parts are served from here. */
const DOCS_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

/** Moves every file of `from` over its namesake in `to` (a running broker never sees half a file) and removes what is no longer made. */
function replaceTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const made = new Set(readdirSync(from));
  for (const name of made) {
    const source = join(from, name);
    if (statSync(source).isDirectory()) replaceTree(source, join(to, name));
    else renameSync(source, join(to, name));
  }
  for (const name of readdirSync(to)) {
    if (!made.has(name)) rmSync(join(to, name), { recursive: true });
  }
}

async function bundle(sources: Record<string, string>, outdir: string, parts: string | null): Promise<void> {
  const entries = Object.entries(sources).filter(([, source]) => existsSync(join(ROOT, source)));
  await build({
    absWorkingDir: ROOT,
    entryPoints: entries.map(([out, source]) => ({ in: source, out })),
    outdir,
    bundle: true,
    splitting: parts !== null,
    ...(parts === null ? {} : { chunkNames: `${parts}/[name]-[hash]` }),
    platform: 'node',
    target: 'node22',
    format: 'esm',
    packages: 'external',
    sourcemap: true,
    logLevel: 'warning',
  });
}

async function run(): Promise<void> {
  const fresh = join(ROOT, '.prepare', `dist.${process.pid}`);
  try {
    await bundle(ENTRIES, fresh, null);
    for (const [parts, sources] of Object.entries(IN_PARTS)) await bundle(sources, fresh, parts);
    const docs = join(fresh, 'static', 'docs');
    mkdirSync(docs, { recursive: true });
    for (const name of DOCS_FILES) cpSync(join(ROOT, 'node_modules/swagger-ui-dist', name), join(docs, name));
    replaceTree(fresh, DIST);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

try {
  await run();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
