/** A process of clients that stop at every step: connected, half a request, half a handshake, a whole one without an answer, upgraded. */

import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { Ports } from './deaths.ts';

const { ws, wss } = JSON.parse(process.argv[2] ?? '') as Ports;
const TICK_MS = 40;
const LIFE_MS = 400;
/** Connections for each tick; whole TLS handshakes cost the most. */
const EACH = 3;
const WHOLE_TLS = 1;

const UPGRADE =
  'GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n';
/** Twenty bytes, masked with zeros. */
const FRAME = Buffer.concat([Buffer.from([0x82, 0x94, 0, 0, 0, 0]), Buffer.alloc(20, 7)]);

/** The first record of a TLS client. It needs no client behind it: the server makes its keys and signs, and waits. */
async function clientHello(): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', rejectUnauthorized: false });
  client.on('error', () => {});
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  const [hello] = (await once(accepted, 'data')) as [Buffer];
  client.destroy();
  accepted.destroy();
  server.close();
  return hello;
}

function lives(socket: net.Socket): net.Socket {
  socket.on('error', () => {});
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LIFE_MS);
  socket.once('close', () => clearTimeout(timer));
  return socket;
}

function open(port: number, first: string | Buffer | null): void {
  const socket = lives(net.connect(port, '127.0.0.1'));
  if (first !== null) socket.write(first);
}

/** Sends frames from the answer on, each echo asking for the next. */
function upgraded(socket: net.Socket): void {
  lives(socket).write(UPGRADE);
  socket.on('data', () => socket.write(FRAME));
}

const hello = await clientHello();
const timer = setInterval(() => {
  for (let i = 0; i < EACH; i++) {
    open(ws, null);
    open(ws, UPGRADE.slice(0, 60));
    upgraded(net.connect(ws, '127.0.0.1'));
    open(wss, null);
    open(wss, hello.subarray(0, 40));
    open(wss, hello);
  }
  for (let i = 0; i < WHOLE_TLS; i++) upgraded(tls.connect({ port: wss, host: '127.0.0.1', rejectUnauthorized: false }));
}, TICK_MS);
process.once('message', () => {
  clearInterval(timer);
  setTimeout(() => process.disconnect(), LIFE_MS);
});
process.once('disconnect', () => process.exit());
process.send?.('ready');
