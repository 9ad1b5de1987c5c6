/** uWebSockets.js and its guard on machines that lack something: neither is used, and the reason is given. */

import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
/** This machine, with a package and a guard of its own. The binary of the package is empty. */
let machine: Machine;

beforeEach(() => {
  const root = mkdtempSync(join(tmpdir(), 'fluxmq-uws-'));
  places.push(root);
  mkdirSync(join(root, 'package/dist/bin'), { recursive: true });
  writeFileSync(join(root, 'package/dist/bin', BINARY), '');
  cpSync(join(import.meta.dirname, '../../../native/prebuilt'), join(root, 'native/prebuilt'), { recursive: true });
  machine = { ...here, packages: [join(root, 'absent'), join(root, 'package')], roots: [join(root, 'absent'), root] };
});

afterAll(() => {
  for (const place of places) rmSync(place, { recursive: true });
});

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
  expect(loaded).toMatchObject({ available: false, reason: expect.stringContaining('its binary cannot be loaded: ') });
});

test('a guard that cannot be loaded is a reason, before the binary is loaded', () => {
  writeFileSync(inMachine(`native/prebuilt/${GUARD}`), 'no binary');
  expect(loadFrom(machine)).toMatchObject({ available: false, reason: expect.stringContaining('its guard cannot be loaded: ') });
});

const PIECES = ['guard', 'dup', 'linger', 'noDelay', 'onArrival', 'await', 'forget', 'peek', 'received', 'cookie', 'trace', 'current'];

test.each([
  [PIECES, 'its guard lacks readable'],
  [[...PIECES, 'readable'], 'its guard takes a wrong descriptor'],
])('a guard that is not the one of this version is a reason', (pieces, reason) => {
  expect(loadFrom(withGuard(`module.exports = { ${pieces.map((name) => `${name}() {}`).join(', ')} };`))).toEqual({
    available: false,
    reason,
  });
});

/** The loader takes any module in place of the guard; an ending that is not `.node` makes it one of JavaScript. */
function withGuard(text: string): Machine {
  const root = inMachine('other');
  mkdirSync(join(root, 'native/prebuilt', GUARD), { recursive: true });
  writeFileSync(join(root, 'native/prebuilt', GUARD, 'index.js'), text);
  return { ...machine, roots: [root] };
}

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
