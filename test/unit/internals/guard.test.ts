/** native/: its binaries are built from its sources, and their functions take good arguments only. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { serverHandleOf } from '../../../src/internals/tcp-handles.ts';
import type { Guard } from '../../../src/internals/uws/contract.ts';
import { loadUws } from '../../../src/internals/uws/load.ts';

const ROOT = join(import.meta.dirname, '../../..');
const PREBUILT = join(ROOT, 'native/prebuilt');
const NAMES = ['source', 'guard', 'dup', 'linger', 'noDelay', 'readable', 'peek', 'received', 'cookie', 'trace', 'current'];
const STAMP = `fluxmq native sha256 ${sumOfSources()}`;
const requireNative = createRequire(import.meta.url);
const prebuilt = requireNative(join(PREBUILT, `guard-linux-${process.arch}.node`)) as Guard;
const folder = mkdtempSync(join(tmpdir(), 'fluxmq-guard-'));

afterAll(() => rmSync(folder, { recursive: true }));

/** As scripts/native makes it. */
function sumOfSources(): string {
  const folder = join(ROOT, 'native');
  const headers = readdirSync(folder).filter((name) => name.endsWith('.h'));
  const sum = createHash('sha256');
  for (const name of ['guard.c', 'connections.c', 'received.c', ...headers.toSorted()]) sum.update(readFileSync(join(folder, name)));
  return sum.digest('hex');
}

test('each source is in the checksum', () => {
  const sources = readdirSync(join(ROOT, 'native')).filter((name) => name.endsWith('.c'));
  expect(sources.toSorted()).toEqual(['connections.c', 'guard.c', 'received.c']);
});

/** From the compiler of this machine. */
function rebuild(): Guard {
  const file = join(folder, 'guard.node');
  const { status, stderr } = spawnSync(join(ROOT, 'scripts/native'), [file], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return requireNative(file) as Guard;
}

test.each([
  ['x64', 62],
  ['arm64', 183],
])('the binary for %s is built from the source', (arch, machine) => {
  const bytes = readFileSync(join(PREBUILT, `guard-linux-${arch}.node`));
  expect(bytes.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
  expect(bytes.readUInt16LE(18)).toBe(machine);
  expect(bytes.includes(`${STAMP}\0`)).toBe(true);
  // each name of a function that is defined, and nothing that only a newer glibc has
  for (const name of NAMES) expect(bytes.includes(`\0${name}\0`), name).toBe(true);
  const versions = bytes.toString('latin1').match(/GLIBC_2\.\d+/g) ?? [];
  expect(versions.map((version) => Number(version.slice(8))).filter((minor) => minor > 17)).toEqual([]);
  expect(bytes.length).toBeLessThan(100_000);
});

const rebuilt = rebuild();

describe.each([
  ['prebuilt', prebuilt],
  ['rebuilt', rebuilt],
])('the %s binary', (_name, guard) => {
  test('has the functions of the source', () => {
    expect(Object.keys(guard)).toEqual(NAMES);
    expect(guard.source).toBe(STAMP);
  });

  const nothing = [undefined, null, '1', NaN, 1.5, -1, 2 ** 31, 2 ** 40, Infinity, {}, 1n, Symbol('fd'), [1], true];

  test.each(['dup', 'linger', 'noDelay', 'readable', 'peek', 'received', 'cookie', 'trace'] as const)(
    '%s refuses what is no descriptor',
    (name) => {
      const call = guard[name] as (...all: unknown[]) => unknown;
      const second = name === 'linger' ? 0 : true;
      for (const fd of nothing) expect(() => call(fd, second), String(fd)).toThrow(TypeError);
      expect(() => call()).toThrow(/^\w+\(fd.*: fd must be a descriptor$/);
    },
  );

  test('refuses other arguments of a wrong kind, and leaves the socket as it was', () => {
    const [linger, noDelay, readable] = [guard.linger, guard.noDelay, guard.readable] as ((...all: unknown[]) => unknown)[];
    for (const seconds of [undefined, null, '1', NaN, 0.5, -2, 65_536, true]) {
      expect(() => linger!(0, seconds), String(seconds)).toThrow('seconds must be a whole number between -1 and 65535');
    }
    expect(() => guard.peek(0, 'text' as unknown as Buffer)).toThrow('buffer must be a Buffer');
    for (const on of [undefined, null, 0, 1, 'true', {}]) {
      expect(() => noDelay!(0, on), String(on)).toThrow('on must be a boolean');
      expect(() => readable!(0, on), String(on)).toThrow('on must be a boolean');
    }
  });

  test('tells the error of the system by its name', () => {
    const file = openSync('/dev/null', 'r');
    const free = 1_000_000_000;
    expect(() => guard.dup(free)).toThrow(expect.objectContaining({ code: 'EBADF', message: 'dup: EBADF, bad file descriptor' }));
    expect(() => guard.linger(file, 0)).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));
    expect(() => guard.noDelay(file, true)).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));
    expect(() => guard.received(file)).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));
    expect(guard.peek(free, Buffer.alloc(8))).toBe(-1);
    expect(guard.peek(file, Buffer.alloc(8))).toBe(-1);
    expect(guard.cookie(file)).toBe(-1);
    expect(guard.cookie(free)).toBe(-1);
    expect(guard.trace(file)).toBe(false);
    expect(guard.trace(free)).toBe(false);
    expect(guard.current()).toBe(-1);
    expect(guard.readable(file, false)).toBe(false);
    expect(guard.readable(free, false)).toBe(false);
    closeSync(file);
  });

  test('dup gives a descriptor of the same file, at least 3, closed on exec', () => {
    const file = openSync('/dev/null', 'r');
    const copy = guard.dup(file);
    expect(copy).toBeGreaterThan(2);
    expect(copy).not.toBe(file);
    closeSync(file);
    expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe('/dev/null');
    // O_CLOEXEC
    expect(Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${copy}`, 'utf8'))![1]!, 8) & 0o2000000).toBe(0o2000000);
    closeSync(copy);
    expect(() => fstatSync(copy)).toThrow('EBADF');
  });
});

/** A connection that a listening handle has accepted, as a worker gets it, and the client of it. */
async function accepted(): Promise<{ fd: number; close(): void; client: net.Socket }> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const handle = new Promise<{ fd: number; close(): void }>((resolve) => {
    serverHandleOf(server)!.onconnection = (_status, each) => resolve(each as unknown as { fd: number; close(): void });
  });
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  await once(client, 'connect');
  const { fd } = await handle;
  const close = async () => (await handle).close();
  server.close();
  return { fd, close: () => void close(), client };
}

test('linger 0 resets, -1 ends in order', async () => {
  for (const [seconds, end] of [
    [0, 'ECONNRESET'],
    [-1, 'end'],
  ] as const) {
    const { fd, close, client } = await accepted();
    client.resume();
    const ended = new Promise((resolve) => {
      client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      client.once('end', () => resolve('end'));
    });
    prebuilt.linger(fd, 0);
    prebuilt.linger(fd, seconds);
    prebuilt.noDelay(fd, false);
    prebuilt.noDelay(fd, true);
    close();
    expect(await ended).toBe(end);
    client.destroy();
  }
});

const UPGRADE =
  'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';

test('readable stops an adopted connection, whose output continues, and resumes it without a loss', async () => {
  const loaded = loadUws();
  if (!loaded.available) return expect(process.versions.modules).not.toBe('127');
  const { uws, guard } = loaded;
  const { fd, close, client } = await accepted();
  const own = guard.dup(fd);
  let [received, sent] = [0, 0];
  const send: { now: () => void } = { now: () => {} };
  const app = uws.App().ws('/*', {
    open: (socket) => {
      send.now = () => void socket.send(new Uint8Array(1_000_000), true);
    },
    message: (_socket, message) => {
      received += message.byteLength;
    },
  });
  app.adoptSocket(own);
  close();
  client.write(UPGRADE);
  await once(client, 'data');
  client.on('data', (bytes: Buffer) => {
    sent += bytes.length;
  });
  const frame = Buffer.concat([Buffer.from([0x82, 0xe4, 0, 0, 0, 0]), Buffer.alloc(100)]);
  client.write(frame);
  await expect.poll(() => received).toBe(100);
  expect(guard.readable(own, false)).toBe(true);
  for (let i = 0; i < 10; i++) client.write(frame);
  await pause(150);
  expect(received).toBe(100);
  client.pause();
  send.now();
  // uWebSockets.js asks for the end of the wait, and reads again until it is stopped again
  await expect.poll(() => guard.readable(own, false)).toBe(true);
  client.resume();
  await expect.poll(() => sent).toBeGreaterThan(1_000_000);
  expect(guard.readable(own, true)).toBe(true);
  await expect.poll(() => received).toBe(1_100);
  app.close();
  client.destroy();
  // closed: the loop does not watch it any more
  await expect.poll(() => guard.readable(own, true)).toBe(false);
});

test('trace names the adopted descriptor whose event runs, and no other', async () => {
  const loaded = loadUws();
  if (!loaded.available) return expect(process.versions.modules).not.toBe('127');
  const { uws, guard } = loaded;
  const seen: [call: string, fd: number][] = [];
  const note = (call: string) => void seen.push([call, guard.current()]);
  const app = uws
    .App()
    .filter((_response, change) => note(change > 0 ? 'adopted' : 'lost'))
    .ws('/*', {
      upgrade: (response, request, context) => {
        note('upgrade');
        response.upgrade({}, request.getHeader('sec-websocket-key'), '', '', context);
        note('upgraded');
      },
      message: () => note('message'),
      close: () => note('close'),
    });
  const clients: [fd: number, client: net.Socket][] = [];
  for (let each = 0; each < 3; each++) {
    const { fd, close, client } = await accepted();
    // A handle's own watcher is no poll handle.
    expect(guard.trace(fd)).toBe(false);
    const own = guard.dup(fd);
    app.adoptSocket(own);
    expect(guard.trace(own)).toBe(true);
    expect(guard.trace(own)).toBe(true);
    expect(guard.cookie(own)).toBe(guard.cookie(fd));
    expect(clients.map(([other]) => guard.cookie(other))).not.toContain(guard.cookie(own));
    close();
    clients.push([own, client]);
  }
  const [[first, a], [second, b], [third, c]] = clients as [[number, net.Socket], [number, net.Socket], [number, net.Socket]];
  const expected: typeof seen = new Array(3).fill(['adopted', -1]);
  const came = async (...more: typeof seen) => {
    expected.push(...more);
    await expect.poll(() => seen).toEqual(expected);
  };
  b.write(UPGRADE);
  await came(['upgrade', second], ['upgraded', second]);
  a.write(UPGRADE);
  await came(['upgrade', first], ['upgraded', first]);
  c.destroy();
  await came(['lost', third]);
  b.write(Buffer.from([0x82, 0x81, 0, 0, 0, 0, 1]));
  await came(['message', second]);
  a.destroy();
  await came(['close', first]);
  expect(guard.current()).toBe(-1);
  // not in an event
  app.close();
  await came(['close', -1]);
  expect(guard.trace(second)).toBe(false);
  b.destroy();
});
