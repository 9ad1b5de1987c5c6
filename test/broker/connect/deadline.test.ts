/** From the accepted connection to its CONNECT by the age of the connection, whatever it drips, on TCP, TLS and WebSocket; what is no CONNECT ends at once. */

import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import * as encode from '../../kit/encode.ts';
import { openTcp, openTls, upgrade } from '../../kit/transport.ts';
import { sleep, until } from '../../kit/until.ts';

const { cert, key } = Authority.root(certificateFolder()).issue('localhost');
const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const IDLE_MS = 1000;
/** The sweep comes each half second, and the machine is shared. */
const LATEST_MS = 3000;
let broker: Broker;

beforeAll(async () => {
  const deadlines = { ...OPEN, idleTimeout: IDLE_MS, handshakeTimeout: IDLE_MS };
  broker = await startBroker({
    endpoints: [
      { ...deadlines, maxConnectionSize: 3 },
      { ...deadlines, sslConfig: { cert, key } },
      { ...deadlines, useWebsocket: true },
      { ...OPEN },
      { ...OPEN, useWebsocket: true },
      { ...OPEN, sslConfig: { cert, key }, useWebsocket: true, handshakeTimeout: 60_000, idleTimeout: IDLE_MS },
      // One for each stranger: of equal lines the log has the first.
      ...[0, 1, 2, 3].map(() => ({ ...OPEN })),
      { ...OPEN, useWebsocket: true },
    ],
  });
});

afterAll(() => broker.stop());

/** Milliseconds until the broker closes the socket, which is sent one byte of `drip` each 100 ms; at most 6 s. */
async function lifeOf(socket: Socket, drip: Buffer): Promise<number> {
  const startedAt = performance.now();
  let isClosed = false;
  socket.resume().once('close', () => {
    isClosed = true;
  });
  for (let at = 0; !isClosed && performance.now() - startedAt < 6000; at++) {
    if (at < drip.length && socket.writable) socket.write(drip.subarray(at, at + 1));
    await sleep(100);
  }
  socket.destroy();
  return performance.now() - startedAt;
}

const connectFrame = () => encode.connect(4, { clientId: 'x'.repeat(2000) });
const webSocketFrame = (payload: Buffer) =>
  Buffer.concat([Buffer.from([0x82, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]), payload]);

async function metric(port: number, code: string): Promise<number> {
  const text = String((await broker.api('GET', `/api/endpoints/metrics?format=prometheus&port=${port}`)).body);
  return Number(new RegExp(`connection_errors_total\\{[^}]*error_code="${code}"[^}]*\\} (\\d+)`).exec(text)?.[1]);
}

describe('a connection has until its deadline to send CONNECT, however it drips', () => {
  test.each<[string, number, Buffer]>([
    ['silent, TCP', 0, Buffer.alloc(0)],
    ['a CONNECT byte by byte, TCP', 0, connectFrame()],
    ['silent, TLS', 1, Buffer.alloc(0)],
    [
      'a ClientHello byte by byte',
      1,
      Buffer.concat([Buffer.from('16030102000100 01fc0303'.replaceAll(' ', ''), 'hex'), Buffer.alloc(500, 1)]),
    ],
    ['silent, WebSocket', 2, Buffer.alloc(0)],
    ['a request byte by byte', 2, Buffer.from(`GET /mqtt HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(500)}`)],
  ])('%s', async (_name, index, drip) => {
    const port = broker.ports[index]!;
    const before = (await metric(port, 'connect_timeout')) + (await metric(port, 'tls_timeout'));
    const life = await lifeOf(await openTcp(port), drip);
    expect(life).toBeGreaterThan(IDLE_MS * 0.8);
    expect(life).toBeLessThan(LATEST_MS);
    expect((await metric(port, 'connect_timeout')) + (await metric(port, 'tls_timeout'))).toBe(before + 1);
  });

  test.each([
    ['after the TLS handshake', 1],
    ['after TLS, before the request: the CONNECT deadline alone', 5],
  ])('%s', async (_name, index) => {
    const socket = await openTls(broker.ports[index]!, { rejectUnauthorized: false });
    const life = lifeOf(socket, index === 5 ? Buffer.alloc(0) : connectFrame());
    if (index === 5) expect((await upgrade(socket)).status).toBe(101);
    expect(await life).toBeLessThan(LATEST_MS);
  });

  test.each([
    ['silent', Buffer.alloc(0)],
    ['a CONNECT byte by byte in its frame', webSocketFrame(connectFrame())],
    ['pings', Buffer.from('898000000000'.repeat(60), 'hex')],
  ])('after the upgrade: %s', async (_name, drip) => {
    const socket = await openTcp(broker.ports[2]!);
    expect((await upgrade(socket)).status).toBe(101);
    expect(await lifeOf(socket, drip)).toBeLessThan(LATEST_MS);
  });

  test('those who hold every place lose it at the deadline, and others get in', async () => {
    const port = broker.ports[0]!;
    const holders = await Promise.all([1, 2, 3].map(() => openTcp(port)));
    const dripping = holders.map((socket) => lifeOf(socket, connectFrame()));
    await sleep(100);
    await until(
      'a place',
      async () => {
        const socket = await openTcp(port);
        const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve).once('close', () => resolve(Buffer.alloc(0))));
        socket.write(encode.connect(4, { clientId: 'honest' }));
        const isIn = (await answer).equals(Buffer.from([0x20, 2, 0, 0]));
        socket.destroy();
        return isIn;
      },
      LATEST_MS + 2000,
      100,
    );
    await Promise.all(dripping);
  });
});

describe('what is no CONNECT ends the connection at once, and the log names it', () => {
  test.each<[string, number, string | Buffer, RegExp]>([
    ['HTTP on an MQTT port', 3, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /an HTTP request/],
    ['one letter of HTTP', 6, 'G', /its first bytes are 47/],
    ['a TLS ClientHello', 7, Buffer.from('16030100a5010000a10303', 'hex'), /a TLS handshake/],
    ['a PROXY header', 8, 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', /a PROXY protocol header/],
    ['a wrong protocol name that never ends', 9, '\x10\xff\x7f\0\x04MQTX', /its first bytes are 10ff7f00044d515458/],
    ['MQTT on a WebSocket port', 4, encode.connect(4, { clientId: 'a' }), /it sent MQTT, and this endpoint speaks MQTT over WebSocket/],
    ['TLS on a WebSocket port', 10, Buffer.from('16030100a5', 'hex'), /a TLS handshake/],
  ])('%s', async (_name, index, said, line) => {
    const port = broker.ports[index]!;
    const before = await metric(port, 'bad_connect');
    const socket = await openTcp(port);
    socket.write(typeof said === 'string' ? Buffer.from(said, 'latin1') : said);
    expect(await lifeOf(socket, Buffer.alloc(0))).toBeLessThan(1000);
    expect(await metric(port, 'bad_connect')).toBe(before + 1);
    await until('the log line', async () =>
      (await broker.log())
        .split('\n')
        .some((each) => each.includes(`Endpoint ${port}: connections did not begin with CONNECT`) && line.test(each)),
    );
  });

  test('a CONNECT in pieces is welcome', async () => {
    const socket = await openTcp(broker.ports[3]!);
    const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    for (const byte of encode.connect(4, { clientId: 'slow' })) {
      socket.write(Buffer.from([byte]));
      await sleep(5);
    }
    expect(await answer).toEqual(Buffer.from([0x20, 2, 0, 0]));
    socket.destroy();
  });
});
