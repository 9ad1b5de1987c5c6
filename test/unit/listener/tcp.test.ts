/** A TCP connection as its client sees it, the same with Node's sockets and without: bytes, backpressure, and every way to end. */

import net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { defaultEndpoint } from '../../../src/endpoint/defaults.ts';
import type { ChildOptions } from '../../../src/endpoint/endpoint.ts';
import { bindSocket } from '../../../src/internals/socket-passing.ts';
import type { Connection, ConnectionClient, Listener, ListenerHost } from '../../../workers/endpoint/connection/connection.ts';
import { acceptHandles } from '../../../workers/endpoint/listener/handle-connection.ts';
import { openTcpListener } from '../../../workers/endpoint/listener/tcp.ts';
import { until } from '../../kit/until.ts';

function when(probe: () => boolean, timeoutMs = 10_000): Promise<boolean> {
  return until(String(probe), probe, timeoutMs, 5);
}

/** The calls that a client gets from its connection, in order. */
class Recorder implements ConnectionClient {
  readonly connection: Connection;
  readonly chunks: Buffer[] = [];
  drains = 0;
  ends: boolean[] = [];
  /** answers what comes */
  onBytes: (bytes: Buffer) => void = () => undefined;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  onData(buf: Buffer, start: number, end: number): void {
    const bytes = Buffer.from(buf.subarray(start, end));
    this.chunks.push(bytes);
    this.onBytes(bytes);
  }

  onDrain(): void {
    this.drains++;
  }

  onClose(reset: boolean): void {
    this.ends.push(reset);
  }

  get received(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

const open: { listener: Listener; clients: Recorder[]; sockets: net.Socket[] }[] = [];
const foreign: net.Server[] = [];

afterEach(async () => {
  for (const { listener, clients, sockets } of open.splice(0)) {
    listener.close();
    for (const client of clients) client.connection.destroy();
    for (const socket of sockets) socket.destroy();
    await when(() => clients.every((client) => client.ends.length > 0));
  }
  for (const server of foreign.splice(0)) server.close();
});

const OPTIONS: ChildOptions = { tcpNodelay: true, soKeepalive: true, soLinger: -1 };

async function serve(stream: 'handle' | 'socket', options: ChildOptions = OPTIONS, refuse = false) {
  const clients: Recorder[] = [];
  const sockets: net.Socket[] = [];
  const accept = (connection: Connection): Recorder | null => {
    if (refuse) return null;
    const client = new Recorder(connection);
    clients.push(client);
    return client;
  };
  const host: ListenerHost = {
    endpoint: { ...defaultEndpoint(0), host: '127.0.0.1', childOptions: options },
    mayChangeProtocol: false,
    allowsDescriptor: () => true,
    tls: null,
    accept,
    admit: () => null,
    welcome: () => null,
    leave: () => undefined,
  };
  const handle = bindSocket('127.0.0.1', 0);
  const listener = openTcpListener(host, stream);
  await listener.acceptFrom([{ key: 1, handle }]);
  const name: { port?: number } = {};
  (handle as unknown as { getsockname(out: object): number }).getsockname(name);
  const port = name.port!;
  open.push({ listener, clients, sockets });
  const dial = async (half = true): Promise<net.Socket> => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: half });
    sockets.push(socket);
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };
  const pair = async (): Promise<{ socket: net.Socket; client: Recorder }> => {
    const socket = await dial();
    await when(() => clients.length === sockets.length);
    return { socket, client: clients.at(-1)! };
  };
  return { listener, port, clients, dial, pair };
}

/** Everything that comes until the other side has ended; rejects when the connection breaks. */
function drained(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => resolve(Buffer.concat(chunks)));
    socket.once('error', reject);
  });
}

describe.each(['handle', 'socket'] as const)('a TCP connection by %s', (stream) => {
  test('bytes come and go in order, many connections side by side', async () => {
    const { clients, dial } = await serve(stream);
    const sockets = await Promise.all(Array.from({ length: 20 }, () => dial()));
    await when(() => clients.length === 20);
    for (const client of clients) client.onBytes = (bytes) => void client.connection.send(bytes);
    const echoes = sockets.map((socket, index) => {
      const sent = Buffer.alloc(200_000, `${index};`);
      socket.end(sent);
      return drained(socket).then((got) => expect(got.equals(sent)).toBe(true));
    });
    await Promise.all(echoes);
    await when(() => clients.every((client) => client.ends.length === 1));
    expect(clients.every((client) => client.ends[0] === false)).toBe(true);
  });

  test('the address of the peer, also when it is asked for late', async () => {
    const { pair } = await serve(stream);
    const { client } = await pair();
    expect(client.connection.address).toBe('127.0.0.1');
  });

  test('what is said in the loop iteration in which the peer ends still goes out', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    client.onBytes = () => setImmediate(() => client.connection.send(Buffer.from('answer')));
    const answer = drained(socket);
    socket.end('question');
    // Node's sockets end their side with the end of the other; both ways the connection is closed in order.
    if (stream === 'handle') expect((await answer).toString()).toBe('answer');
    else await answer;
    await when(() => client.ends.length === 1);
    expect(client.received).toBe('question');
    expect(client.ends).toEqual([false]);
  });

  test('pause stops reading and resume continues, nothing is lost', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    client.onBytes = () => client.connection.pause();
    socket.write('first');
    await when(() => client.chunks.length === 1);
    // More than the kernel takes in for both sides: without the pause it would be read.
    const rest = Buffer.alloc(30_000_000, 'x');
    socket.write(rest);
    await when(() => socket.writableLength > 0);
    const before = client.received.length;
    client.connection.pause();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.received.length).toBe(before);
    client.onBytes = () => undefined;
    client.connection.resume();
    client.connection.resume();
    await when(() => client.received.length === rest.length + 5, 20_000);
  });

  test('a peer that does not read: send says so once, onDrain comes when it has read', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    socket.pause();
    let sent = 0;
    const piece = Buffer.alloc(1_000_000, 'y');
    while (client.connection.send(piece)) sent++;
    sent++;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.drains).toBe(0);
    const all = drained(socket);
    socket.resume();
    await when(() => client.drains === 1);
    expect(client.connection.send(Buffer.from('last'))).toBe(true);
    client.connection.end();
    const got = await all;
    expect(got.length).toBe(sent * piece.length + 4);
    expect(got.subarray(-4).toString()).toBe('last');
    socket.end();
    await when(() => client.ends.length === 1);
    expect(client.ends).toEqual([false]);
  });

  test('two buffers at once go out in order, and onDrain comes when both have gone', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    const { connection } = client;
    if (connection.sendBoth === undefined) return expect(stream).toBe('socket');
    expect(connection.sendBoth(Buffer.from('head'), Buffer.from('body'))).toBe(true);
    const piece = Buffer.alloc(1_000_000, 'y');
    let count = 1;
    while (connection.sendBoth(Buffer.from('head'), piece)) count++;
    // The kernel takes nothing of these.
    expect(connection.sendBoth(Buffer.from('HEAD'), Buffer.from('BODY'))).toBe(false);
    expect(client.drains).toBe(0);
    const all = drained(socket);
    await when(() => client.drains === 2);
    connection.end();
    const got = await all;
    expect(got.length).toBe(8 + count * (4 + piece.length) + 8);
    expect(got.subarray(8, 14).toString()).toBe('headyy');
    expect(got.subarray(-9).toString()).toBe('yHEADBODY');
    socket.end();
    await when(() => client.ends.length === 1);
  });

  test('end: what was sent goes out, also what the kernel had not taken; later sends are nothing', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    socket.pause();
    let sent = 1;
    const piece = Buffer.alloc(1_000_000, 'z');
    while (client.connection.send(piece)) sent++;
    client.connection.end();
    client.connection.end();
    expect(client.connection.send(piece)).toBe(true);
    const all = drained(socket);
    socket.resume();
    expect((await all).length).toBe(sent * piece.length);
    expect(client.ends).toEqual([]);
    socket.end();
    await when(() => client.ends.length === 1);
  });

  test('end during a pause: the end of the peer is still seen', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    client.connection.pause();
    socket.end('not read any more');
    client.connection.end();
    await when(() => client.ends.length === 1);
    expect(client.ends).toEqual([false]);
  });

  test('a peer that does not close its side is cut off after the deadline', async () => {
    const { pair } = await serve(stream);
    const { client } = await pair();
    const startedAt = performance.now();
    client.connection.end();
    await when(() => client.ends.length === 1, 20_000);
    expect(performance.now() - startedAt).toBeGreaterThan(4_500);
  });

  test('destroy closes at once, with a write that the kernel has not taken', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    socket.pause();
    while (client.connection.send(Buffer.alloc(1_000_000)));
    client.connection.destroy();
    client.connection.destroy();
    await when(() => client.ends.length === 1);
    expect(client.connection.send(Buffer.from('x'))).toBe(true);
    client.connection.pause();
    client.connection.resume();
    client.connection.end();
    expect(client.drains).toBe(0);
  });

  test('a connection that the network breaks is reported as that', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    socket.resetAndDestroy();
    await when(() => client.ends.length === 1);
    expect(client.ends).toEqual([true]);
  });

  test('a peer that has gone while we send', async () => {
    const { pair } = await serve(stream);
    const { socket, client } = await pair();
    client.connection.pause();
    socket.resetAndDestroy();
    await when(() => {
      client.connection.send(Buffer.from('into the void'));
      return client.ends.length === 1;
    });
    expect(client.ends).toEqual([true]);
  });

  /** The broker has let go although this side has not closed; what is written then comes back as an error. */
  async function isReset(socket: net.Socket, client: Recorder): Promise<boolean> {
    const isBroken = new Promise<boolean>((resolve) => socket.once('error', () => resolve(true)));
    await when(() => client.ends.length === 1, 4_000);
    socket.write('anybody there?');
    return isBroken;
  }

  test('soLinger 0: the end is a reset, and waits for nobody', async () => {
    const { pair } = await serve(stream, { ...OPTIONS, soLinger: 0 });
    const { socket, client } = await pair();
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    // libuv 1.52 reads the reset; older ones read an end, and the write comes back as an error
    const reset = isReset(socket, client);
    client.connection.send(Buffer.from('bye'));
    client.connection.end();
    expect(await reset).toBe(true);
    expect(Buffer.concat(chunks).toString()).toBe('bye');
  });

  test('a connection that is not taken is closed', async () => {
    const { listener, dial } = await serve(stream, OPTIONS, true);
    const socket = await dial(false);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(listener.accepted).toBe(1);
  });

  test('options are read at each connection', async () => {
    const options = { ...OPTIONS };
    const { pair } = await serve(stream, options);
    await pair();
    options.soLinger = 0;
    options.tcpNodelay = false;
    const { socket, client } = await pair();
    client.connection.end();
    expect(await isReset(socket, client)).toBe(true);
  });

  test('a listener that has stopped keeps what it has', async () => {
    const { listener, port, pair } = await serve(stream);
    const { socket, client } = await pair();
    listener.stopAccepting();
    listener.stopAccepting();
    socket.write('still here');
    await when(() => client.received === 'still here');
    await expect(
      new Promise((resolve, reject) => net.connect(port, '127.0.0.1').once('connect', resolve).once('error', reject)),
    ).rejects.toThrow('ECONNREFUSED');
  });
});

test('bytes of one connection are gone when those of another have come: the buffer is shared', async () => {
  const { clients, dial } = await serve('handle');
  const seen: Buffer[] = [];
  const [one, two] = [await dial(), await dial()];
  await when(() => clients.length === 2);
  for (const client of clients) {
    client.onData = (buf, start, end) => void seen.push(buf.subarray(start, end));
  }
  one.write('aaaa');
  await when(() => seen.length === 1);
  two.write('bbbb');
  await when(() => seen.length === 2);
  expect(seen[0]!.toString()).toBe('bbbb');
});

describe('options of accepted sockets', () => {
  /** A server whose connections say which options were set on them one by one. */
  function pretend(options: ChildOptions) {
    const calls: string[] = [];
    const methods = Object.fromEntries(
      ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'shutdown', 'close', 'reset', 'getpeername'].map((name) => [name, () => 0]),
    );
    const own = {
      ...methods,
      onconnection: (_error: number, _handle: unknown): void => undefined,
      setNoDelay: (on: boolean) => calls.push(`server noDelay ${on}`),
      setKeepAlive: (on: boolean) => calls.push(`server keepAlive ${on}`),
    };
    const hooks = {
      mayStay: () => true,
      isTaken: () => false,
      expectSocket: () => {},
      isWanted: () => true,
      longestBacklog: () => 100,
      options: () => options,
      accept: () => null,
    };
    expect(acceptHandles({ _handle: own } as unknown as net.Server, hooks)).toBe(true);
    const connect = (): string[] => {
      const before = calls.length;
      own.onconnection(0, {
        ...own,
        setNoDelay: (on: boolean) => calls.push(`noDelay ${on}`),
        setKeepAlive: (on: boolean) => calls.push(`keepAlive ${on}`),
      });
      return calls.slice(before);
    };
    return { calls, connect };
  }

  const pass = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('are set on each connection only until the accept queue has been empty after a change', async () => {
    const options = { ...OPTIONS };
    const { calls, connect } = pretend(options);
    expect(calls).toEqual(['server noDelay true', 'server keepAlive true']);
    // A connection that is in the queue when the options change has the former options.
    expect(connect()).toEqual(['noDelay true', 'keepAlive true']);
    await pass();
    expect(connect()).toEqual(['noDelay true', 'keepAlive true']);
    await pass();
    expect(connect()).toEqual(['noDelay true', 'keepAlive true']);
    // One pass begins, one passes with nobody.
    for (let i = 0; i < 3; i++) await pass();
    expect(connect()).toEqual([]);
    options.tcpNodelay = false;
    expect(connect()).toEqual(['server noDelay false', 'server keepAlive true', 'noDelay false', 'keepAlive true']);
    for (let i = 0; i < 4; i++) await pass();
    expect(connect()).toEqual([]);
  });
});

test('a server that is not as expected is left as it is', () => {
  const server = net.createServer();
  foreign.push(server);
  const hooks = {
    mayStay: () => true,
    isTaken: () => false,
    expectSocket: () => {},
    isWanted: () => true,
    longestBacklog: () => 1,
    options: () => OPTIONS,
    accept: () => null,
  };
  expect(acceptHandles(server, hooks)).toBe(false);
  const onconnection = (): void => undefined;
  const odd = { _handle: { onconnection, setNoDelay() {} } };
  expect(acceptHandles(odd as unknown as net.Server, hooks)).toBe(false);
  expect(odd._handle.onconnection).toBe(onconnection);
});
