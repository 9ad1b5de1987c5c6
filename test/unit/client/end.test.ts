/** The end of a connection does not overtake what it has brought: messages come, and the DISCONNECT behind them takes the will away. */

import net from 'node:net';
import { afterEach, describe, test } from 'vitest';
import { defaultEndpoint } from '../../../src/endpoint/defaults.ts';
import { bindSocket } from '../../../src/internals/socket-passing.ts';
import { readTurn, type TurnTaker } from '../../../src/kernel/turns/read-turn.ts';
import { type Connection, type Listener, type ListenerHost, PLACE } from '../../../workers/endpoint/connection/connection.ts';
import { filterTurns } from '../../../workers/endpoint/handlers/subscribe/filter-turns.ts';
import { openTcpListener } from '../../../workers/endpoint/listener/tcp.ts';
import * as encode from '../../kit/encode.ts';
import { quiet, sleep, until } from '../../kit/until.ts';
import { joinMeshes, makeMesh } from '../session/meshes.ts';
import { type Wire, World } from './world.ts';

const WILL = { topic: 'will', payload: 'WILL' };
const MESSAGE = encode.publish(4, 't', 'MESSAGE');

/** Ends what a test has opened. */
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function occupy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Others have so much input that each turn is full of theirs, for `turns` turns. */
function keepBusy(turns: number): void {
  let left = turns;
  const taker: TurnTaker = {
    onTurn() {
      if (left-- <= 0) return;
      occupy(16);
      readTurn.worked(256);
      readTurn.wait(taker, 1);
    },
  };
  readTurn.worked(256);
  occupy(16);
  readTurn.worked(256);
  for (let i = 0; i < 4; i++) readTurn.wait(taker, 1);
}

async function watch(world: World): Promise<Wire> {
  const { client, wire } = world.client();
  const give = (bytes: Buffer) => client.onData(bytes, 0, bytes.length);
  give(encode.connect(4, { clientId: 'watcher' }));
  await until('the watcher is online', () => client.isOnline);
  give(encode.subscribe(4, 1, [{ filter: '#' }]));
  await until('SUBACK', () => wire.sent.includes(0x90));
  return wire;
}

interface Served {
  world: World;
  wire: Wire;
  socket: net.Socket;
}

/** A listener for a world of its own, and somebody connected to it. */
async function serve(useWebsocket: boolean, stream: 'handle' | 'socket', world = new World(100_000)): Promise<Served> {
  const wire = await watch(world);
  const make = (connection: Connection) => world.clientOn(connection);
  const host: ListenerHost = {
    endpoint: { ...defaultEndpoint(0), host: '127.0.0.1', useWebsocket },
    mayChangeProtocol: false,
    allowsDescriptor: () => true,
    tls: null,
    accept: make,
    admit: () => PLACE,
    welcome: make,
    leave() {},
  };
  const handle = bindSocket('127.0.0.1', 0);
  const listener: Listener = openTcpListener(host, stream);
  await listener.acceptFrom([{ key: 1, handle }]);
  const name: { port?: number } = {};
  (handle as unknown as { getsockname(out: object): number }).getsockname(name);
  const socket = net.connect(name.port!, '127.0.0.1');
  socket.on('error', () => undefined);
  ends.push(() => {
    socket.destroy();
    listener.close();
  });
  return { world, wire, socket };
}

function received(socket: net.Socket, byte: number): Promise<void> {
  return new Promise((resolve) => {
    socket.on('data', (data) => {
      if (data.includes(byte)) resolve();
    });
  });
}

async function online(socket: net.Socket): Promise<void> {
  const connack = received(socket, 0x20);
  socket.write(encode.connect(4, { clientId: 'c', will: WILL }));
  await connack;
}

/** The message has come, and the will does not. */
async function expectHeard(wire: Wire): Promise<void> {
  await until('the message', () => wire.sent.includes('MESSAGE'));
  await quiet(200, 'the will', () => wire.sent.includes(WILL.payload));
}

describe.each(['handle', 'socket'] as const)('a TCP connection, as %s', (stream) => {
  test('that ends while its input waits for a turn', async () => {
    const { wire, socket } = await serve(false, stream);
    await online(socket);
    keepBusy(10);
    socket.end(Buffer.concat([MESSAGE, encode.disconnect()]));
    await expectHeard(wire);
  });

  test('that ends while its SUBSCRIBE waits for the peers', async () => {
    const world = new World(100_000);
    const { mesh } = world.context;
    const other = makeMesh(2);
    await joinMeshes(mesh, other);
    ends.push(() => {
      mesh.close();
      other.close();
    });
    const { wire, socket } = await serve(false, stream, world);
    await online(socket);
    socket.end(Buffer.concat([encode.subscribe(4, 2, [{ filter: 'q' }]), MESSAGE, encode.disconnect()]));
    await expectHeard(wire);
  });

  test('that ends while its UNSUBSCRIBE waits behind filters of others', async () => {
    const { wire, socket } = await serve(false, stream);
    await online(socket);
    for (let i = 0; i < 300; i++) void filterTurns.take(filterTurns.atOnce);
    socket.end(Buffer.concat([encode.unsubscribe(4, 2, ['q']), MESSAGE, encode.disconnect()]));
    await expectHeard(wire);
  });

  test('whose answers cannot be sent any more', async () => {
    const { wire, socket } = await serve(false, stream);
    await online(socket);
    keepBusy(10);
    socket.write(Buffer.concat([encode.publish(4, 'x', 'first', { qos: 1, id: 9 }), MESSAGE, encode.disconnect()]));
    // The bytes are there before the reset, which would take them back.
    await sleep(3);
    socket.resetAndDestroy();
    await until('the message or the will', () => wire.sent.includes('MESSAGE') || wire.sent.includes(WILL.payload));
    await quiet(200, 'message and will', () => wire.sent.includes('MESSAGE') && wire.sent.includes(WILL.payload));
  });
});

test('a WebSocket whose close frame comes in the same read', async () => {
  const { wire, socket } = await serve(true, 'handle');
  const opened = received(socket, 0x20);
  socket.write(
    'GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await opened;
  const connack = received(socket, 0x82);
  socket.write(frame(2, encode.connect(4, { clientId: 'c', will: WILL })));
  await connack;
  socket.on('data', (data) => {
    if (data.includes(0x88)) socket.end();
  });
  keepBusy(10);
  socket.write(Buffer.concat([frame(2, MESSAGE), frame(2, encode.disconnect()), frame(8, Buffer.from([3, 232]))]));
  await expectHeard(wire);
});

/** One of a client, masked with zeros. */
function frame(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
