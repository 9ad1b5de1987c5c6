/** The lockfile serves every machine: all platforms' packages are in it, with integrity, and none names a registry's host. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

interface LockEntry {
  version?: string;
  resolved?: string;
  integrity?: string;
  optionalDependencies?: Record<string, string>;
}

const text = readFileSync(join(import.meta.dirname, '../../../package-lock.json'), 'utf8');
const packages = (JSON.parse(text) as { packages: Record<string, LockEntry> }).packages;
const installed = Object.entries(packages).filter(([path]) => path !== '');

test('each package has its integrity and no address', () => {
  expect(installed.length).toBeGreaterThan(100);
  expect(installed.filter(([, entry]) => entry.integrity === undefined).map(([path]) => path)).toEqual([]);
  expect(installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([]);
});

test('no optional package of another platform is left out, without which npm ci refuses the file', () => {
  const missing = Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).filter(
      (name) => packages[`node_modules/${name}`] === undefined && packages[`${path}/node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
});

test('the lockfile of Node 24 has the same form', () => {
  const other = readFileSync(join(import.meta.dirname, '../../../scripts/node-24/package-lock.json'), 'utf8');
  const entries = Object.entries((JSON.parse(other) as { packages: Record<string, LockEntry> }).packages).filter(([path]) => path !== '');
  expect(entries.map(([path]) => path)).toEqual(['darwin-x64', 'linux-arm64', 'linux-x64'].map((name) => `node_modules/node-${name}`));
  for (const [path, { version, resolved, integrity }] of entries) {
    expect({ path, version, resolved, integrity }).toEqual({
      path,
      version: expect.stringMatching(/^24\./),
      resolved: undefined,
      integrity: expect.stringMatching(/^sha512-/),
    });
  }
});
