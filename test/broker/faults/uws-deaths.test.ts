/** Threads that die while uWebSockets.js has sockets in every state: the process lives, and nothing of theirs is left behind. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import type { DeathsReport, Ports } from '../../kit/deaths/deaths.ts';
import { freePort } from '../../kit/free-port.ts';
import { longer } from '../../kit/long.ts';

const DEATHS = longer(24, 102);
const MIB = 2 ** 20;
const SOURCES = join(import.meta.dirname, '../../kit/deaths');
/** Below the project, so that its packages and native/ are found. */
const PLACE = join(import.meta.dirname, '../../../.prepare');
/** Threads that wait for a processor die later: this is for a process that hangs. */
const TEST_MS = 180_000;
let built: string;

beforeAll(async () => {
  mkdirSync(PLACE, { recursive: true });
  built = mkdtempSync(join(PLACE, 'deaths-'));
  const entryPoints = ['main', 'thread', 'storm'].map((name) => join(SOURCES, `${name}.ts`));
  await build({ entryPoints, outdir: built, bundle: true, platform: 'node', format: 'esm', outExtension: { '.js': '.mjs' } });
});

afterAll(() => rmSync(built, { recursive: true }));

test(`a process outlives the death of ${DEATHS} threads under WS and WSS storms`, { timeout: TEST_MS }, async () => {
  const { uws } = lookForTransports();
  if (uws !== true) {
    // Node 22 on Linux has a binary; elsewhere there is nothing to outlive.
    expect(uws).not.toMatch(/ABI 127 on linux/);
    return;
  }
  const { cert, key } = Authority.root(certificateFolder()).issue('localhost');
  const ports: Ports = { ws: await freePort(), wss: await freePort(), cert, key };
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [join(built, 'main.mjs'), String(DEATHS), JSON.stringify(ports)], {
    encoding: 'utf8',
    timeout: TEST_MS - 10_000,
  });
  // its own exit: main ends while a thread has sockets
  expect({ status, signal, stderr }).toEqual({ status: 7, signal: null, stderr: expect.not.stringContaining('uv_loop_close') });
  const { deaths, served, sockets, rss, survivor } = JSON.parse(stdout) as DeathsReport;
  const each = DEATHS / 6;
  expect(deaths).toEqual({ 'terminate 1': each, 'throw 1': each, 'reject 1': each, 'exit 5': each, 'block 1': each, 'heap 1': each });
  // the threads had something to lose
  expect(served.adopted).toBeGreaterThanOrEqual(DEATHS * 8);
  expect(served.accepted).toBeGreaterThan(served.adopted);
  expect(served.upgraded).toBeGreaterThanOrEqual(DEATHS);
  expect(served.messages).toBeGreaterThan(0);
  expect(survivor.upgraded).toBeGreaterThan(0);
  expect(survivor.messages).toBeGreaterThan(0);
  expect(sockets.after).toBe(sockets.before);
  expect(rss.late - rss.early).toBeLessThan(32 * MIB);
});
