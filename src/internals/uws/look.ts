/**
 * Whether this machine can load uWebSockets.js and its guard, judged by their files: nothing of uWebSockets.js is loaded. Its binary is one for
 * each platform and version of Node, and those of the package need glibc.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf } from '../../kernel/errors.ts';
import { problemOfLibrary } from './elf.ts';

/** The facts that the judgement depends on. */
export interface Machine {
  /** `process.platform` */
  platform: string;
  /** `process.arch` */
  arch: string;
  /** `process.versions.modules`: binaries for another one cannot be loaded */
  abi: string;
  /** false: another C library; the binaries need none newer than the packaged Node does */
  hasGlibc: boolean;
  /** folders that may hold uWebSockets.js, the best first */
  packages: readonly string[];
  /** folders that may hold native/prebuilt/, the best first */
  roots: readonly string[];
}

/** Files that exist; both must be loaded, uWebSockets.js first. */
export interface UwsFiles {
  uws: string;
  guard: string;
}

/** The folder of the package in node_modules; the package itself is named uws-pack. */
const PACKAGE = 'uWebSockets.js';
/** File names of glibc, as the process has loaded it. */
const GLIBC = /\/libc(?:\.so\.6|-2\.\d+\.so)/;
const GUARD_ARCHITECTURES = ['x64', 'arm64'];

/** The machine that this process runs on. */
export function thisMachine(): Machine {
  const { resolve } = createRequire(import.meta.url);
  const { arch, platform, versions } = process;
  const packages = (resolve.paths(PACKAGE) ?? []).map((folder) => join(folder, PACKAGE));
  return { platform, arch, abi: versions.modules, hasGlibc: hasGlibc(), packages, roots: foldersAbove(import.meta.dirname) };
}

/** @returns the files to load, or why there is nothing to load: a sentence without its full stop */
export function lookForUws({ platform, arch, abi, hasGlibc, packages, roots }: Machine): UwsFiles | string {
  if (platform !== 'linux') return `it needs Linux, and this is ${platform}`;
  if (!hasGlibc) return 'it needs glibc, and this system has another C library';
  const found = packages.find((folder) => existsSync(folder));
  if (found === undefined) return `the package ${PACKAGE} is not installed`;
  const uws = join(found, 'dist', 'bin', `uws_${platform}_${arch}_${abi}.node`);
  if (!existsSync(uws)) return `it has no binary for Node's ABI ${abi} on ${platform} ${arch}`;
  if (!GUARD_ARCHITECTURES.includes(arch)) return `fluxmq has no guard for ${platform} ${arch}`;
  const name = `guard-${platform}-${arch}.node`;
  const guard = roots.map((folder) => join(folder, 'native', 'prebuilt', name)).find((path) => existsSync(path));
  if (guard === undefined) return `native/prebuilt/${name} is missing`;
  return problemOfFile('its binary', uws, arch) ?? problemOfFile('its guard', guard, arch) ?? { uws, guard };
}

function problemOfFile(what: string, path: string, arch: string): string | null {
  try {
    const problem = problemOfLibrary(path, arch);
    return problem === null ? null : `${what} ${problem}: ${path}`;
  } catch (error) {
    return `${what} cannot be read: ${messageOf(error)}`;
  }
}

/** The sources are two floors below the root, the built files at most one below dist/, which has a copy of native/. */
function foldersAbove(folder: string): string[] {
  const all: string[] = [];
  for (let at = folder; all.length < 4; at = dirname(at)) all.push(at);
  return all;
}

/** Without /proc, loading shows it. */
function hasGlibc(): boolean {
  try {
    return GLIBC.test(readFileSync('/proc/self/maps', 'latin1'));
  } catch {
    return true;
  }
}
