/** A real worker thread that speaks the thread protocol and really listens, but knows almost no MQTT; commands come as text lines. */

import { createServer, type Server, type Socket } from 'node:net';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { fetchSockets, type SocketHandle } from '../../../src/internals/socket-passing.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import { SLOT } from '../../../src/metrics/counters.ts';
import { SharedLimits } from '../../../src/metrics/shared-limits.ts';
import {
  type EndpointMemory,
  type EndpointRuntimeConfig,
  type SocketOffer,
  THREAD_PROTOCOL_VERSION,
  type WorkerBoot,
} from '../../../src/thread/commands.ts';
import { startHeartbeat } from '../../../src/thread/heartbeat.ts';
import { HostLink } from '../../../src/thread/host-link.ts';

const boot = workerData as WorkerBoot;
startHeartbeat(boot.heartbeat);

/** An update with this value is refused; see maxQueuedMessages. */
const REFUSED_QUEUE = 13;
/** With this maxReceiveWindowSize nobody is let in, */
const REFUSED_WINDOW = 13;
/** and with this one not at once. */
const SLOW_WINDOW = 14;
const SLOW_MS = 300;
const QUIET_PASS_MS = 0.5;
const QUIET_MAX_MS = 2_000;

interface Open {
  config: EndpointRuntimeConfig;
  limits: SharedLimits;
  slots: Float64Array;
  servers: Map<number, Server>;
  /** to be accepted from */
  bound: { key: number; handle: SocketHandle }[];
  sockets: Set<Socket>;
}

const endpoints = new Map<string, Open>();
const peers = new Map<number, MessagePort>();

async function open(config: EndpointRuntimeConfig, memory: EndpointMemory, offer: SocketOffer): Promise<Open> {
  return {
    config,
    limits: new SharedLimits(memory.limits),
    slots: new Float64Array(memory.counters),
    servers: new Map(),
    sockets: new Set(),
    bound: await fetch(offer),
  };
}

async function fetch({ path, keys }: SocketOffer): Promise<Open['bound']> {
  const handles = await fetchSockets(path, keys.length);
  return handles.map((handle, index) => ({ key: keys[index]!, handle }));
}

async function listen(open: Open, sockets: Open['bound']): Promise<void> {
  for (const { key, handle } of sockets) {
    const server = createServer((socket) => accept(open, socket));
    open.servers.set(key, server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(new FluxError(error.code === 'EADDRINUSE' ? 'port-in-use' : 'unprocessable', error.message));
      });
      server.listen(handle, resolve);
    });
  }
}

function accept(open: Open, socket: Socket): void {
  if (!open.limits.acquire(open.config.endpoint.maxConnectionSize)) {
    socket.destroy();
    return;
  }
  open.sockets.add(socket);
  open.slots[SLOT.connectionsTotal]!++;
  open.slots[SLOT.connectionsCurrent]!++;
  open.slots[SLOT.connectionsMax] = Math.max(open.slots[SLOT.connectionsMax]!, open.slots[SLOT.connectionsCurrent]!);
  socket.on('error', () => {});
  socket.on('close', () => {
    open.sockets.delete(socket);
    open.slots[SLOT.connectionsCurrent]!--;
    open.limits.release();
  });
  socket.on('data', (bytes) => answer(open, socket, bytes));
}

/**
 * The kernel resets connections in the accept queue of a socket that closes. As the real worker does, this waits for a pass of the event loop that took
 * nobody and was short: on a busy machine somebody comes between the accepting and the closing of a long one.
 */
async function nobodyWaits({ slots }: Open): Promise<void> {
  const end = performance.now() + QUIET_MAX_MS;
  for (;;) {
    const [from, accepted] = [performance.now(), slots[SLOT.connectionsTotal]];
    await new Promise((resolve) => setImmediate(resolve));
    const now = performance.now();
    if ((now - from < QUIET_PASS_MS && accepted === slots[SLOT.connectionsTotal]) || now > end) return;
  }
}

function answer(open: Open, socket: Socket, bytes: Buffer): void {
  if (bytes[0] === 0x10) socket.write(Buffer.of(0x20, 2, 0, 0));
  else if (bytes[0] === 0xc0) socket.write(Buffer.of(0xd0, 0));
  else if (bytes.toString() === 'crash') throw new Error('told to crash');
  else if (bytes.toString() === 'about') {
    const { endpoint, revision } = open.config;
    const known = [...peers.keys()].sort((a, b) => a - b);
    socket.write(
      `${JSON.stringify({ peer: boot.peer, peers: known, revision, maxConnectionSize: endpoint.maxConnectionSize, endpoints: [...endpoints.keys()] })}\n`,
    );
  }
}

function find(id: string): Open {
  const open = endpoints.get(id);
  if (open === undefined) throw new FluxError('not-found', `endpoint ${id} is not open here`);
  return open;
}

async function close(open: Open, drainMs: number): Promise<{ disconnected: number; done: boolean }> {
  for (const { handle } of open.bound.splice(0)) handle.close();
  for (const server of open.servers.values()) server.close();
  const disconnected = open.sockets.size;
  await new Promise((resolve) => setTimeout(resolve, drainMs));
  for (const socket of open.sockets) socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  endpoints.delete(open.config.endpoint.id);
  return { disconnected, done: true };
}

const link = new HostLink(parentPort!, {
  'peer.add': ({ peer, port }) => {
    peers.set(peer, port);
    // An open port must not keep the thread alive after `closed`.
    port.unref();
    return null;
  },
  'peer.remove': ({ peer }) => {
    peers.get(peer)?.close();
    peers.delete(peer);
    return null;
  },
  'endpoint.open': async ({ config, memory, sockets }) => {
    const { id } = config.endpoint;
    if (endpoints.has(id)) throw new FluxError('internal', `endpoint ${id} is open here already`);
    endpoints.set(id, await open(config, memory, sockets));
    return null;
  },
  'endpoint.start-accepting': async ({ endpoint }) => {
    if (find(endpoint).config.endpoint.maxReceiveWindowSize === SLOW_WINDOW) await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    const it = find(endpoint);
    if (it.config.endpoint.maxReceiveWindowSize === REFUSED_WINDOW) throw new FluxError('port-in-use', 'told to refuse');
    await listen(it, it.bound.splice(0));
    return null;
  },
  'endpoint.accept-from': async ({ endpoint, sockets }) => {
    await listen(find(endpoint), await fetch(sockets));
    return null;
  },
  'endpoint.drop': ({ endpoint, keys }) => {
    for (const key of keys) find(endpoint).servers.get(key)?.close();
    return null;
  },
  'endpoint.update': ({ config }) => {
    if (config.endpoint.maxQueuedMessages === REFUSED_QUEUE) throw new FluxError('internal', 'told to refuse');
    find(config.endpoint.id).config = config;
    return null;
  },
  'endpoint.stop-accepting': async ({ endpoint, isShared }) => {
    const open = find(endpoint);
    if (!isShared) await nobodyWaits(open);
    for (const server of open.servers.values()) server.close();
    return null;
  },
  'endpoint.close': ({ endpoint, drain }) => close(find(endpoint), drain.ms),
  'endpoint.drain-former': () => ({ disconnected: 0, done: true }),
  'endpoint.cancel-drain': () => null,
  'clients.list': () => [],
  'clients.describe': () => [],
  'clients.close': () => ({ closed: 0 }),
  'clients.find': () => [],
  'sessions.locate': () => [],
  'sessions.count': () => [],
  publish: ({ topic }) => {
    if (topic === 'crash') setImmediate(() => process.exit(3));
    return null;
  },
  'thread.usage': () => ({
    heapUsedBytes: 1000,
    externalBytes: 10,
    cpuPercent: 5,
    eventLoopLagMsP99: 1,
    eventLoopLagMsMax: 2,
    eventLoopBlocks: 0,
    crossedMessages: 0,
    relayedMessages: 0,
  }),
  shutdown: async () => {
    await Promise.all([...endpoints.values()].map((open) => close(open, 0)));
    return null;
  },
});
link.emit({ event: 'ready', protocolVersion: THREAD_PROTOCOL_VERSION });
