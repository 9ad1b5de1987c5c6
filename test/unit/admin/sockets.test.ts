/** The admin API answers however many sockets stand idle; a request under way is never cut for another one. */

import { EventEmitter } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Sockets } from '../../../src/admin/http/sockets.ts';
import { until } from '../../kit/until.ts';

let server: Server;
const open: Socket[] = [];

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
  server?.closeAllConnections();
  server?.close();
});

async function serve(all: number, answer: (path: string, response: ServerResponse) => void): Promise<{ sockets: Sockets; port: number }> {
  server = createServer((request, response) => answer(request.url ?? '', response));
  const sockets = new Sockets({ all, perAddress: 2 });
  sockets.watch(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { sockets, port: (server.address() as AddressInfo).port };
}

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  open.push(socket);
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

test('idle sockets make room, the one that has been idle for longest first', async () => {
  const { sockets, port } = await serve(10, (_path, response) => response.end('ok'));
  const idle: Socket[] = [];
  for (let n = 0; n < 30; n++) {
    idle.push(await dial(port));
    // Half a header is no request.
    idle[n]!.write('GET /health HTTP/1.1\r\nHost: a\r\n');
  }
  for (let n = 0; n < 5; n++) expect(await (await fetch(`http://127.0.0.1:${port}/health`)).text()).toBe('ok');
  await until('the oldest are closed', () =>
    idle.slice(0, 20).every((socket) => socket.closed || socket.destroyed || socket.readableEnded),
  );
  expect(idle[29]!.readableEnded).toBe(false);
  expect(sockets.counts.refused).toBe(0);
  expect(sockets.counts.evicted).toBeGreaterThanOrEqual(20);
});

test('requests under way stay, and a new socket is refused when all are busy', async () => {
  const waiting: ServerResponse[] = [];
  const { sockets, port } = await serve(3, (_path, response) => waiting.push(response));
  const asked = [1, 2, 3].map(async () => (await fetch(`http://127.0.0.1:${port}/slow`)).text());
  await until('all are busy', () => waiting.length === 3);
  await expect(fetch(`http://127.0.0.1:${port}/one-more`)).rejects.toThrow();
  expect(sockets.counts).toEqual({ refused: 1, evicted: 0 });
  for (const response of waiting) response.end('done');
  expect(await Promise.all(asked)).toEqual(['done', 'done', 'done']);
  const next = fetch(`http://127.0.0.1:${port}/next`).then((answer) => answer.text());
  await until('it is let in', () => waiting.length === 4);
  waiting[3]!.end('let in');
  expect(await next).toBe('let in');
});

/** A socket as the server tells of it. */
class Stranger extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  isDestroyed = false;

  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit('close');
  }
}

test('an address has its own limit, an IPv6 /64 is one, loopback is exempt', () => {
  const emitter = new EventEmitter();
  const sockets = new Sockets({ all: 100, perAddress: 2 });
  sockets.watch(emitter as unknown as Server);
  const come = (address: string, port: number) => {
    const stranger = new Stranger(address, port);
    emitter.emit('connection', stranger);
    return stranger;
  };
  const local = Array.from({ length: 10 }, (_, n) => come('127.0.0.1', n));
  const first = [come('10.0.0.1', 1), come('10.0.0.1', 2)];
  const other = come('10.0.0.2', 1);
  emitter.emit('request', { socket: first[0] }, new EventEmitter());
  const third = come('::ffff:10.0.0.1', 3);
  expect([...first, third].map(({ isDestroyed }) => isDestroyed)).toEqual([false, true, false]);
  const response = new EventEmitter();
  emitter.emit('request', { socket: third }, response);
  expect(come('10.0.0.1', 4).isDestroyed).toBe(true);
  response.emit('close');
  expect(come('10.0.0.1', 5).isDestroyed).toBe(false);
  expect(third.isDestroyed).toBe(true);
  const six = [come('2001:db8::1', 1), come('2001:db8::2', 1), come('2001:db8::3', 1)];
  expect(six.map(({ isDestroyed }) => isDestroyed)).toEqual([true, false, false]);
  expect([...local, other].some(({ isDestroyed }) => isDestroyed)).toBe(false);
});
