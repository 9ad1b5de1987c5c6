/** Files without a name, through which uWebSockets.js gets a private key. */

import { existsSync, linkSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { lackingForMemoryFiles, makeMemoryFile } from '../../../src/thread/memory-file.ts';

test('has its text, an owner who alone may read it, and no name that a crash could leave', () => {
  expect(lackingForMemoryFiles()).toBeNull();
  const text = `secret ${'x'.repeat(100_000)}`;
  const file = makeMemoryFile(text);
  expect(readFileSync(file.path, 'utf8')).toBe(text);
  // a second reader begins at the first byte too
  expect(readFileSync(file.path, 'utf8')).toBe(text);
  const { mode, nlink, ino } = statSync(file.path);
  expect(mode & 0o777).toBe(0o600);
  expect(nlink).toBe(0);
  expect(readlinkSync(file.path)).toMatch(/^\/dev\/shm\/#\d+ \(deleted\)$/);
  expect(readdirSync('/dev/shm')).not.toContain(`#${ino}`);
  expect(() => linkSync(file.path, '/dev/shm/fluxmq-memory-file-test')).toThrow();
  file.close();
  expect(existsSync(file.path)).toBe(false);
});
