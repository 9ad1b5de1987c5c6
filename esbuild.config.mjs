// @ts-check
/**
 * The build: bundles main, the command line and every thread entry into dist/, each with its libraries, and copies the files of the API's
 * documentation page and the prebuilt add-on. A start reads a few files instead of some 500, which saves a fifth of its CPU time. The packages,
 * with their licences, stay in node_modules beside dist/.
 * `node esbuild.config.mjs` runs it; scripts/dev.ts runs it after each change of a source.
 */

import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const ROOT = import.meta.dirname;
const DIST = join(ROOT, 'dist');
const FRESH = join(ROOT, '.prepare', `dist.${process.pid}`);

/** @typedef {{ parts: string | null, sources: Record<string, string> }} Bundle sources: output path without `.js` → source */

/**
 * A thread loads one file, but for the asking thread. That one, main and the command line are split into parts: the broker handles signals before it loads the rest, and a
 * command of the command line loads only what it uses.
 * @type {Bundle[]}
 */
const BUNDLES = [
  {
    parts: null,
    sources: {
      'workers/endpoint-worker': 'workers/endpoint-worker.ts',
      'workers/session-worker': 'workers/session-worker.ts',
      'workers/relay-worker': 'workers/relay-worker.ts',
      'workers/access-task': 'workers/task/access-task.ts',
    },
  },
  // most nodes ask neither Redis nor a database, whose libraries have 3 MB
  { parts: 'ask-parts', sources: { 'workers/ask-task': 'workers/task/ask-task.ts' } },
  { parts: 'main-parts', sources: { main: 'src/main.ts' } },
  { parts: 'cli-parts', sources: { cli: 'src/command-line.ts' } },
];

/** Stay in node_modules: the first four load a native library, piscina loads a file of its own into each thread. */
const EXTERNAL = ['better-sqlite3', '@node-rs/argon2', '@node-rs/bcrypt', 'uWebSockets.js', 'piscina'];

/** A library in CommonJS asks for Node's modules by require(), which an ES module does not have. */
const REQUIRE = "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";

/**
 * pino asks for the files of its callers at each start, for transports, which the broker does not use. With --enable-source-maps Node
 * would decode the whole source map of main to answer that: a fifth of a start's CPU time, and 40 MB.
 * @type {import('esbuild').Plugin}
 */
const PINO_WITHOUT_CALLERS = {
  name: 'pino-without-callers',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]pino[\\/]lib[\\/]caller\.js$/ }, () => ({ contents: 'module.exports = () => [];' }));
  },
};

/**
 * mqtt-packet describes each step of a packet to `debug`, some twenty times for a CONNECT. It asks for nothing else of it, and the broker
 * has a log of its own.
 * @type {import('esbuild').Plugin}
 */
const NO_DEBUG = {
  name: 'no-debug',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]node_modules[\\/]debug[\\/]src[\\/]index\.js$/ }, () => ({ contents: 'module.exports = () => () => {};' }));
  },
};

/** The documentation page loads nothing from other hosts, so its parts are served from here. */
const DOCS_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

/**
 * @param {Bundle} bundle
 * @returns {import('esbuild').BuildOptions}
 */
function optionsOf({ parts, sources }) {
  return {
    absWorkingDir: ROOT,
    entryPoints: Object.entries(sources).map(([out, source]) => ({ in: source, out })),
    outdir: FRESH,
    bundle: true,
    splitting: parts !== null,
    ...(parts === null ? {} : { chunkNames: `${parts}/[name]-[hash]` }),
    platform: 'node',
    target: 'node22',
    format: 'esm',
    external: EXTERNAL,
    // mqtt-packet asks bl for it, which needs Duplex alone: 210 kB in each thread, of which Node has all
    alias: { 'readable-stream': 'node:stream' },
    banner: { js: REQUIRE },
    plugins: [PINO_WITHOUT_CALLERS, NO_DEBUG],
    sourcemap: true,
    // the sources lie beside, or are not needed: a stack trace names their files and lines
    sourcesContent: false,
    logLevel: 'warning',
  };
}

/**
 * Moves every file of `from` over its namesake in `to`, in one step each, and removes what is no longer made. Without that a broker that
 * runs could load half a file.
 * @param {string} from
 * @param {string} to
 */
function replaceTree(from, to) {
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

/**
 * Builds everything into a fresh folder, then replaces the files of dist/.
 * @throws the errors of esbuild; dist/ is unchanged then
 */
async function buildAll() {
  try {
    for (const bundle of BUNDLES) await build(optionsOf(bundle));
    const docs = join(FRESH, 'static', 'docs');
    mkdirSync(docs, { recursive: true });
    for (const name of DOCS_FILES) cpSync(join(ROOT, 'node_modules/swagger-ui-dist', name), join(docs, name));
    cpSync(join(ROOT, 'native/prebuilt'), join(FRESH, 'native/prebuilt'), { recursive: true });
    replaceTree(FRESH, DIST);
  } finally {
    rmSync(FRESH, { recursive: true, force: true });
  }
}

try {
  await buildAll();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
