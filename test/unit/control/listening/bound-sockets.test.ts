/** Which sockets an endpoint has on this node, who gets them, and when they are closed. */

import net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type BoundSocket, BoundSockets, type SocketHolder } from '../../../../src/control/listening/bound-sockets.ts';
import { probePort } from '../../../../src/control/probe/port-probe.ts';
import { freePort } from '../../../kit/free-port.ts';

const logged: string[] = [];
const log = (message: string): void => void logged.push(message);
const sockets = new BoundSockets({ debug: log, info: log, warn: log, error: log });
afterEach(() => sockets.keepOnly(null));

class FakeListener implements SocketHolder {
  readonly worker = { name: 'fake', isUsable: true };
  readonly held = new Set<BoundSocket>();
  fails = false;

  get sockets(): BoundSocket[] {
    return [...this.held];
  }

  async takeSockets(more: readonly BoundSocket[]): Promise<void> {
    if (this.fails) throw new Error('told to fail');
    for (const socket of more) {
      this.held.add(socket);
      socket.holders.add(this);
    }
  }

  async leaveSockets(taken: readonly BoundSocket[]): Promise<void> {
    for (const socket of taken) {
      this.held.delete(socket);
      socket.holders.delete(this);
    }
  }
}

/** New listeners with what is reserved for them. */
async function open(address: { host: string; port: number }, count: number, kept: SocketHolder[] = []): Promise<FakeListener[]> {
  const { shares, release } = await sockets.reserve(address, count, kept);
  const listeners = shares.map(() => new FakeListener());
  for (const [index, listener] of listeners.entries()) await listener.takeSockets(shares[index]!);
  release();
  return listeners;
}

const HOST = '127.0.0.1';

test('successors of all listeners get all sockets, and no new one is bound', async () => {
  const address = { host: HOST, port: await freePort() };
  const old = await open(address, 3);
  expect(old.map((listener) => listener.held.size)).toEqual([1, 1, 1]);
  const before = sockets.of(address);
  const next = await open(address, 2);
  expect(next.map((listener) => listener.held.size)).toEqual([2, 1]);
  for (const listener of old) await listener.leaveSockets(listener.sockets);
  sockets.closeUnused();
  expect(sockets.of(address)).toEqual(before);
});

test('fewer listeners: the others get what those had that go; more: they get what the richest can spare, then new ones', async () => {
  const address = { host: HOST, port: await freePort() };
  const [first, second, third] = (await open(address, 3)) as [FakeListener, FakeListener, FakeListener];
  await sockets.handOver([...second.sockets, ...third.sockets], [first]);
  expect(first.held.size).toBe(3);
  for (const gone of [second, third]) await gone.leaveSockets(gone.sockets);
  const added = await open(address, 3, [first]);
  await sockets.settle([first, ...added], added);
  expect([first, ...added].map((listener) => listener.held.size)).toEqual([1, 1, 1, 1]);
  expect(sockets.of(address).length).toBe(4);
});

test('a wider host keeps the narrower socket beside its own; a narrower one gives the wider up', async () => {
  const port = await freePort();
  await open({ host: HOST, port }, 1);
  const [wide] = await open({ host: '0.0.0.0', port }, 1);
  sockets.keepOnly({ host: '0.0.0.0', port });
  expect(wide!.sockets.map(({ host }) => host).sort()).toEqual(['0.0.0.0', HOST]);
  const [narrow] = await open({ host: HOST, port }, 1);
  sockets.keepOnly({ host: HOST, port });
  expect(narrow!.sockets.map(({ host }) => host)).toEqual([HOST]);
  expect(wide!.sockets.map((socket) => [socket.host, sockets.keeps(socket)]).sort()).toEqual([
    ['0.0.0.0', false],
    [HOST, true],
  ]);
  expect(sockets.of({ host: '::', port }).length).toBe(1);
});

test('a bind that fails leaves nothing behind, and the words are those of a listener', async () => {
  const server = net.createServer().listen(0, HOST);
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await expect(sockets.reserve({ host: HOST, port }, 1, [])).rejects.toThrow(`Port ${port} is already in use`);
  expect(sockets.has(port)).toBe(false);
  await expect(sockets.reserve({ host: '192.0.2.1', port }, 1, [])).rejects.toThrow('does not belong to this machine');
  server.close();
});

test('what was bound for a change that does not happen is closed, and the port is free again', async () => {
  const address = { host: HOST, port: await freePort() };
  const { release } = await sockets.reserve(address, 2, []);
  sockets.closeUnused();
  expect(sockets.of(address).length).toBe(2);
  release();
  sockets.closeUnused();
  await probePort(HOST, address.port);
});

test('a successor that does not take a socket: it is given up, and said', async () => {
  const address = { host: HOST, port: await freePort() };
  const [goes, successor] = (await open(address, 2)) as [FakeListener, FakeListener];
  successor.fails = true;
  await sockets.handOver(goes.sockets, [successor]);
  expect(goes.sockets.every((socket) => sockets.keeps(socket))).toBe(false);
  expect(logged.join()).toContain('did not take a socket over');
});
