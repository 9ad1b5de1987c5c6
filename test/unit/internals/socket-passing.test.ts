/** Listening sockets that go from thread to thread while clients connect: nobody is refused or reset, and nothing of it is left behind. */

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { bindSocket, fetchSockets, offerSockets, type SocketHandle } from '../../../src/internals/socket-passing.ts';
import { bundled } from '../../kit/preload.ts';

/** Offers of this file, and of nobody else. */
const places = mkdtempSync(join(tmpdir(), 'fluxmq-places-'));
vi.stubEnv('TMPDIR', places);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(places, { recursive: true });
});

const workers: Worker[] = [];
const handles: SocketHandle[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
  for (const handle of handles.splice(0)) handle.close();
});

function bind(port = 0): { handle: SocketHandle; port: number } {
  const handle = bindSocket('127.0.0.1', port);
  handles.push(handle);
  const name: { port?: number } = {};
  (handle as unknown as { getsockname(out: object): number }).getsockname(name);
  return { handle, port: name.port! };
}

/** The module that the threads and processes of the tests import. */
const MODULE = bundled(join(import.meta.dirname, '../../../src/internals/socket-passing.ts')).href;

/** A thread that accepts from what it fetches, greets with its name, and closes on demand. */
const ACCEPTOR = `
  import net from 'node:net';
  import { parentPort, workerData } from 'node:worker_threads';
  const { fetchSockets } = await import(workerData.module);
  const handles = await fetchSockets(workerData.path, workerData.count);
  const servers = handles.map((handle) => net.createServer((socket) => socket.on('error', () => {}).end(workerData.name)).listen(handle, 511));
  parentPort.on('message', () => { for (const server of servers) server.close(); parentPort.close(); });
  parentPort.postMessage('accepts');
`;

async function acceptor(name: string, sockets: SocketHandle[]): Promise<Worker> {
  const offer = offerSockets(sockets);
  const worker = new Worker(ACCEPTOR, {
    eval: true,
    workerData: { module: MODULE, path: offer.path, count: sockets.length, name },
    execArgv: ['--input-type=module'],
  });
  workers.push(worker);
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  offer.end();
  return worker;
}

function greeting(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString();
    });
    socket.once('end', () => resolve(text)).once('error', reject);
  });
}

test('a socket passed on fifteen times under connections: each of them is served', async () => {
  const { handle, port } = bind();
  let current = await acceptor('0', [handle]);
  const outcomes: Promise<string>[] = [];
  const storm = setInterval(() => {
    for (let n = 0; n < 5; n++) outcomes.push(greeting(port).catch((error: Error) => `failed: ${error.message}`));
  }, 2);
  for (let round = 1; round <= 15; round++) {
    const next = await acceptor(String(round), [handle]);
    current.postMessage('close');
    await new Promise((resolve) => current.once('exit', resolve));
    current = next;
  }
  clearInterval(storm);
  const names = await Promise.all(outcomes);
  expect(names.filter((name) => !/^\d+$/.test(name))).toEqual([]);
  expect(new Set(names).size).toBeGreaterThan(10);
}, 60_000);

test('who connects while nobody accepts waits, also when the thread before has been ended in the middle', async () => {
  const { handle, port } = bind();
  const first = await acceptor('first', [handle]);
  await first.terminate();
  const waiting = Array.from({ length: 20 }, () => greeting(port));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await acceptor('second', [handle]);
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['second']));
});

test('several at once; and no descriptor and no path is left behind', async () => {
  const bound = [bind(), bind(), bind()];
  const count = () => readdirSync('/proc/self/fd').length;
  await (await acceptor('warm', [bound[0]!.handle])).terminate();
  const before = count();
  for (let round = 0; round < 5; round++) {
    const worker = await acceptor(
      'all',
      bound.map(({ handle }) => handle),
    );
    for (const { port } of bound) expect(await greeting(port)).toBe('all');
    await worker.terminate();
  }
  expect(count()).toBeLessThanOrEqual(before + 1);
  expect(readdirSync(places)).toEqual([]);
});

test('a port that is taken is reported at once, and an address that is not local', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  expect(() => bindSocket('127.0.0.1', port)).toThrow('EADDRINUSE');
  expect(() => bindSocket('192.0.2.1', 1883)).toThrow('EADDRNOTAVAIL');
  server.close();
});

test('an offer that has ended, and one that has fewer, are refused', async () => {
  const { handle } = bind();
  const ended = offerSockets([handle]);
  ended.end();
  await expect(fetchSockets(ended.path, 1)).rejects.toThrow('not passed');
  const short = offerSockets([handle]);
  const fetched = fetchSockets(short.path, 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  short.end();
  await expect(fetched).rejects.toThrow('not passed');
});

test.each(['/nonexistent', `/tmp/${'long/'.repeat(20)}`])('a temporary folder that is of no use (%s): another place is found', (folder) => {
  const script = `
    const { bindSocket, fetchSockets, offerSockets } = await import(${JSON.stringify(MODULE)});
    const offer = offerSockets([bindSocket('127.0.0.1', 0)]);
    console.log((await fetchSockets(offer.path, 1)).length);
    process.exit(0);
  `;
  const args = ['--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: folder, NODE_OPTIONS: '' },
  });
  expect(stdout, stderr).toBe('1\n');
});

test('no handle is left behind, whatever descriptors are free', async () => {
  const pipes = () => process.getActiveResourcesInfo().filter((kind) => kind === 'PipeWrap').length;
  const { handle } = bind();
  const before = pipes();
  for (let round = 0; round < 20; round++) {
    // Lower numbers are free when the offer ends, and the number of its own descriptor may be taken.
    const lower = Array.from({ length: 5 }, () => openSync('/dev/null', 'r'));
    const offer = offerSockets([handle]);
    const fetched = await fetchSockets(offer.path, 1);
    for (const fd of lower) closeSync(fd);
    offer.end();
    for (const each of fetched) each.close();
  }
  // Handles of the tests before may have closed since; a leak would leave 20.
  await vi.waitFor(() => expect(pipes()).toBeLessThanOrEqual(before));
});
