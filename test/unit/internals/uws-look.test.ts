/** uWebSockets.js and its guard on machines that lack something: neither is used, and the reason is given. */

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { loadFrom, loadUws, lookForTransports } from '../../../src/internals/uws/load.ts';
import { lookForUws, type Machine, thisMachine } from '../../../src/internals/uws/look.ts';

const GUARD = `guard-${process.platform}-${process.arch}.node`;
const BINARY = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
const here = thisMachine();
const hasBinary = typeof lookForUws(here) !== 'string';
const places: string[] = [];
/** This machine, with a package and a guard of its own. The binary of the package is a header alone. */
let machine: Machine;

beforeEach(() => {
  const root = mkdtempSync(join(tmpdir(), 'fluxmq-uws-'));
  places.push(root);
  mkdirSync(join(root, 'package/dist/bin'), { recursive: true });
  writeFileSync(join(root, 'package/dist/bin', BINARY), headerOf(process.arch));
  cpSync(join(import.meta.dirname, '../../../native/prebuilt'), join(root, 'native/prebuilt'), { recursive: true });
  machine = { ...here, packages: [join(root, 'absent'), join(root, 'package')], roots: [join(root, 'absent'), root] };
});

afterAll(() => {
  for (const place of places) rmSync(place, { recursive: true });
});

/** A library without content. */
function headerOf(arch: string): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01', 'latin1');
  header.writeUInt16LE(arch === 'arm64' ? 183 : 62, 18);
  header.writeBigUInt64LE(64n, 40);
  return header;
}

const inMachine = (name: string) => join(machine.roots[1]!, name);

test('finds the files of the best folder that has them', () => {
  expect(lookForUws(machine)).toEqual({ uws: inMachine(`package/dist/bin/${BINARY}`), guard: inMachine(`native/prebuilt/${GUARD}`) });
});

test.each<[string, Partial<Machine>, string]>([
  ['another system', { platform: 'darwin' }, 'it needs Linux, and this is darwin'],
  ['musl', { hasGlibc: false }, 'it needs glibc, and this system has another C library'],
  ['a package that is not installed', { packages: [] }, 'the package uWebSockets.js is not installed'],
  ['another Node', { abi: '999' }, "it has no binary for Node's ABI 999 on linux x64"],
  ['a machine without a binary', { arch: 'riscv64' }, `it has no binary for Node's ABI ${here.abi} on linux riscv64`],
  ['a copy without the guard', { roots: ['/'] }, `native/prebuilt/${GUARD} is missing`],
])('%s has a reason', (_name, lesser, reason) => {
  const less = { ...machine, ...(lesser.abi === undefined ? {} : { arch: 'x64' }), ...lesser };
  expect(lookForUws(less)).toBe(reason);
  expect(loadFrom(less)).toEqual({ available: false, reason });
});

test('a machine with a binary and no guard for it has a reason', () => {
  writeFileSync(inMachine(`package/dist/bin/uws_linux_arm_${here.abi}.node`), '');
  expect(lookForUws({ ...machine, arch: 'arm' })).toBe('fluxmq has no guard for linux arm');
});

test('a binary that cannot be loaded is a reason, and nothing is thrown', () => {
  const loaded = loadFrom(machine);
  // Node 24 has a libuv that the guard, which is loaded first, does not know.
  const isLibuvKnown = Number(process.versions.uv.split('.')[1]) <= 51;
  const reason = isLibuvKnown ? 'its binary cannot be loaded: ' : 'its guard cannot be loaded: guard: it knows no libuv after 1.51';
  expect(loaded).toMatchObject({ available: false, reason: expect.stringContaining(reason) });
});

const UWS = `package/dist/bin/${BINARY}`;
const IN_MACHINE = { 'its binary': UWS, 'its guard': `native/prebuilt/${GUARD}` };
const OTHER = process.arch === 'arm64' ? 'x64' : 'arm64';

// To load a file that was cut ends the process.
test.each([
  ['is not whole', (path: string) => truncateSync(path, 63)],
  ['is not whole', (path: string) => writeFileSync(path, Buffer.alloc(0))],
  ['is not whole', cut],
  ['is no library', (path: string) => writeFileSync(path, 'x'.repeat(100))],
  [`is not for ${process.arch}`, (path: string) => writeFileSync(path, headerOf(OTHER))],
])('a file that %s is a reason, and is not loaded', (problem, spoil) => {
  for (const [what, name] of Object.entries(IN_MACHINE)) {
    const before = readFileSync(inMachine(name));
    spoil(inMachine(name));
    expect(loadFrom(machine)).toEqual({ available: false, reason: `${what} ${problem}: ${inMachine(name)}` });
    writeFileSync(inMachine(name), before);
  }
});

/** The table of sections is gone, or its last byte. */
function cut(path: string): void {
  const bytes = readFileSync(path);
  if (bytes.length > 64) truncateSync(path, bytes.length - 1);
  else writeFileSync(path, bytes.fill(1, 41, 42));
}

const PIECES = ['guard', 'dup', 'linger', 'noDelay', 'onArrival', 'await', 'forget', 'peek', 'received', 'cookie', 'trace', 'current'];

test.each([
  [PIECES, 'its guard lacks readable'],
  [[...PIECES, 'readable'], 'its guard takes a wrong descriptor'],
])('a guard that is not the one of this version is a reason', (pieces, reason) => {
  const { extensions } = createRequire(import.meta.url);
  const load = extensions['.node']!;
  extensions['.node'] = (module) => {
    Object.assign(module.exports, Object.fromEntries(pieces.map((name) => [name, () => undefined])));
  };
  try {
    expect(loadFrom(machine)).toEqual({ available: false, reason });
  } finally {
    extensions['.node'] = load;
  }
});

test('this machine loads both or tells why, once', () => {
  const loaded = loadUws();
  expect(loadUws()).toBe(loaded);
  expect(lookForTransports()).toEqual({ uws: loaded.available ? true : loaded.reason });
  expect(process.env['UWS_HTTP_MAX_HEADERS_SIZE']).toBe('16384');
  expect(loaded.available).toBe(hasBinary);
});

test('the packaged Node 22 for Linux loads both', () => {
  const isPackaged = process.platform === 'linux' && process.versions.modules === '127' && ['x64', 'arm64'].includes(process.arch);
  expect(loadUws().available).toBe(isPackaged);
});
