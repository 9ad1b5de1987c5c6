/** Frames of WebSocket clients, cut anywhere, whole and spoilt; the request before them; and what happens when the connection is slow. */

import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { defaultEndpoint } from '../../../src/endpoint/defaults.ts';
import { readTurn } from '../../../src/kernel/turns/read-turn.ts';
import {
  type Admission,
  type Connection,
  type ConnectionClient,
  type ListenerHost,
  PLACE,
} from '../../../workers/endpoint/connection/connection.ts';
import { FrameReader } from '../../../workers/endpoint/websocket/frame-reader.ts';
import { answerUpgrade } from '../../../workers/endpoint/websocket/http-upgrade.ts';
import { WebSockets } from '../../../workers/endpoint/websocket/web-socket.ts';

interface FrameSpec {
  opcode: number;
  payload: Buffer;
  mask: number;
  isFinal: boolean;
}

function encodeFrame({ opcode, payload, mask, isFinal }: FrameSpec, isMasked = true): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = opcode | (isFinal ? 0x80 : 0);
  head[1] = (isMasked ? 0x80 : 0) | (length < 126 ? length : length < 65536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  const key = Buffer.alloc(4);
  key.writeUInt32BE(mask);
  return Buffer.concat([head, ...(isMasked ? [key] : []), payload.map((byte, index) => byte ^ (isMasked ? key[index & 3]! : 0))]);
}

/** Reads the bytes in pieces, each at an odd place of a buffer full of something else. */
function readAll(reader: FrameReader, bytes: Buffer, cuts: number[]): Buffer {
  const out: Buffer[] = [];
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...ends, bytes.length]) {
    const pad = from % 7;
    const room = Buffer.alloc(pad + to - from + 32, 0xa5);
    bytes.copy(room, pad, from, to);
    const end = reader.read(room, pad, pad + to - from);
    out.push(Buffer.from(room.subarray(pad, end)));
    expect(room.subarray(pad + to - from).every((byte) => byte === 0xa5)).toBe(true);
    from = to;
  }
  return Buffer.concat(out);
}

const payload = fc
  .oneof(fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ minLength: 100, maxLength: 700 }))
  .map((bytes) => Buffer.from(bytes));

test('messages in any frames, with pings between them, read in any pieces: the bytes that were sent', () => {
  const message = fc.record({
    parts: fc.array(fc.record({ payload, mask: fc.nat(0xffffffff), pingBefore: fc.boolean() }), { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(5000), { maxLength: 12 }), (messages, cuts) => {
      const frames: Buffer[] = [];
      const sent: Buffer[] = [];
      for (const { parts } of messages) {
        for (const [index, part] of parts.entries()) {
          if (part.pingBefore) frames.push(encodeFrame({ opcode: 9, payload: Buffer.from('ping'), mask: part.mask, isFinal: true }));
          const isFinal = index === parts.length - 1;
          frames.push(encodeFrame({ opcode: index === 0 ? 2 : 0, payload: part.payload, mask: part.mask, isFinal }));
          sent.push(part.payload);
        }
      }
      const reader = new FrameReader();
      expect(readAll(reader, Buffer.concat(frames), cuts).equals(Buffer.concat(sent))).toBe(true);
      expect(reader.ended).toBeNull();
      const hasPing = messages.some(({ parts }) => parts.some(({ pingBefore }) => pingBefore));
      expect(reader.ping?.toString()).toBe(hasPing ? 'ping' : undefined);
    }),
  );
});

test('a frame of more than 64 KiB', () => {
  const bytes = Buffer.from(Array.from({ length: 70_001 }, (_, index) => index * 31));
  const frame = encodeFrame({ opcode: 2, payload: bytes, mask: 0xdeadbeef, isFinal: true });
  for (const cuts of [[], [1, 9, 13, 14, 15, 4099, 65_537], [14]]) expect(readAll(new FrameReader(), frame, cuts).equals(bytes)).toBe(true);
});

const whole = (opcode: number, text = '', isFinal = true): Buffer => encodeFrame({ opcode, payload: Buffer.from(text), mask: 7, isFinal });
const close = (code: number): Buffer => encodeFrame({ opcode: 8, payload: Buffer.from([code >> 8, code & 255]), mask: 7, isFinal: true });

test.each([
  ['a close with its code', close(3001), { code: 3001, isOrderly: true }],
  ['a close without one', whole(8), { code: 1000, isOrderly: true }],
  ['a close with half a code', whole(8, 'x'), { code: 1002, isOrderly: false }],
  ['a close with a code that is never sent', close(1005), { code: 1002, isOrderly: false }],
  ['text [5:MQTT-6.0.0-1]', whole(1, 'x'), { code: 1003, isOrderly: false }],
  [
    'a frame without a mask',
    encodeFrame({ opcode: 2, payload: Buffer.from('x'), mask: 0, isFinal: true }, false),
    { code: 1002, isOrderly: false },
  ],
  ['an empty frame without a mask', Buffer.from([0x82, 0]), { code: 1002, isOrderly: false }],
  ['an extension bit', Buffer.from([0xc2, 0x80, 0, 0, 0, 0]), { code: 1002, isOrderly: false }],
  ['an unknown opcode', whole(3), { code: 1002, isOrderly: false }],
  ['an unknown control opcode', whole(11), { code: 1002, isOrderly: false }],
  ['a ping in pieces', whole(9, 'x', false), { code: 1002, isOrderly: false }],
  ['a ping of 126 bytes', whole(9, 'x'.repeat(126)), { code: 1002, isOrderly: false }],
  ['a continuation of nothing', whole(0, 'x'), { code: 1002, isOrderly: false }],
  ['a message within a message', Buffer.concat([whole(2, 'x', false), whole(2, 'y')]), { code: 1002, isOrderly: false }],
  ['a frame larger than any packet', Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]), { code: 1009, isOrderly: false }],
])('%s ends the exchange, whatever follows, also byte by byte', (name, bytes, ended) => {
  const followed = Buffer.concat([bytes, whole(2, 'late')]);
  for (const cuts of [[], Array.from({ length: followed.length }, (_, index) => index)]) {
    const reader = new FrameReader();
    expect(readAll(reader, followed, cuts).toString()).not.toContain('late');
    expect(reader.ended).toEqual({ ...ended, isClose: name.startsWith('a close') });
  }
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const request = (changes: Record<string, string | null> = {}, line = 'GET /mqtt HTTP/1.1'): string => {
  const headers: Record<string, string | null> = {
    Host: 'x',
    Upgrade: 'websocket',
    Connection: 'keep-alive, Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': 'mqtt',
    ...changes,
  };
  return [line, ...Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]))].join('\r\n');
};

test.each([
  ['as RFC 6455 has it', '101', request()],
  ['with a query', '101', request({}, 'GET /mqtt?token=1 HTTP/1.1')],
  ['in absolute form', '101', request({}, 'GET http://host:1883/mqtt HTTP/1.1')],
  ['another path', '404', request({}, 'GET / HTTP/1.1')],
  ['no upgrade', '426', request({ Upgrade: null })],
  ['no Host', '400', request({ Host: null })],
  ['an empty Host', '400', request({ Host: '' })],
  ['two Hosts', '400', `${request()}\r\nHost: other`],
  ['a Host with an address in brackets and a port', '101', request({ Host: '[::1]:1883' })],
  ['a Host with a name and a port', '101', request({ Host: 'broker_1.example:443' })],
  ['a Host that is none', '400', request({ Host: 'a b' })],
  ['names of headers in other letters', '101', request().replaceAll(/^[A-Za-z-]+:/gm, (name) => name.toUpperCase())],
  ['two subprotocols', '101', request({ 'Sec-WebSocket-Protocol': 'chat , mqtt' })],
  ['two keys', '400', `${request()}\r\nSec-WebSocket-Key: ${KEY}`],
  ['a body', '400', request({ 'Content-Length': '5' })],
  ['a chunked body', '400', request({ 'Transfer-Encoding': 'chunked' })],
  ['an empty body', '101', request({ 'Content-Length': '0' })],
  ['a POST', '426', request({ 'Content-Length': '5' }, 'POST /mqtt HTTP/1.1')],
  ['another version', '426', request({ 'Sec-WebSocket-Version': '8' })],
  ['no key', '400', request({ 'Sec-WebSocket-Key': null })],
  ['another subprotocol', '400', request({ 'Sec-WebSocket-Protocol': 'chat' })],
  ['HTTP/1.0', '400', request({}, 'GET /mqtt HTTP/1.0')],
  ['a folded header', '400', `${request()}\r\n folded: x`],
  ['no HTTP at all', '400', 'hello'],
])('a request %s: %s', (_name, status, head) => {
  const answer = answerUpgrade(head, '/mqtt');
  const text = answer.bytes.toString('latin1');
  expect(text.startsWith(`HTTP/1.1 ${status} `), text).toBe(true);
  expect(answer.isOpen).toBe(status === '101');
  // The example of RFC 6455 section 1.3.
  if (status === '101') expect(text).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
  else if (status === '426') {
    expect(text).toContain('Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n');
    expect(text).toContain('Connection: Upgrade, close\r\n');
  } else expect(text).toContain('Connection: close\r\n');
});

class Inner implements Connection {
  readonly address = '127.0.0.1';
  readonly acceptedAt = 0;
  readonly sent: Buffer[] = [];
  takes = true;
  ended = false;
  finished = false;
  destroyed = false;
  paused = false;
  send(bytes: Buffer): boolean {
    this.sent.push(Buffer.from(bytes));
    return this.takes;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  finish(): void {
    this.finished = true;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
}

function serve(refuse = false, isEither = false, onData: (connection: Connection) => void = () => {}) {
  const inner = new Inner();
  const events: string[] = [];
  let outer: Connection | null = null;
  const client: ConnectionClient = {
    onData: (buf, start, end) => {
      events.push(`data ${buf.toString('latin1', start, end)}`);
      onData(outer!);
    },
    onDrain: () => events.push('drain'),
    onClose: (reset) => events.push(`closed ${reset}`),
  };
  const host: ListenerHost = {
    endpoint: { ...defaultEndpoint(0), useWebsocket: true },
    mayChangeProtocol: false,
    allowsDescriptor: () => true,
    tls: null,
    accept: () => null,
    admit: () => PLACE,
    welcome(connection: Connection, _admission: Admission) {
      outer = connection;
      return refuse ? null : client;
    },
    leave: (admission) => events.push(`left ${admission === PLACE ? 'place' : 'another'}`),
  };
  const below = new WebSockets(host).take(inner, PLACE, isEither);
  const say = (bytes: Buffer): void => below.onData(Buffer.from(bytes), 0, bytes.length);
  const open = (): Connection => {
    say(Buffer.from(`${request()}\r\n\r\n`));
    return outer!;
  };
  return { inner, events, below, say, open };
}

describe('a connection', () => {
  afterEach(async () => {
    // The turn belongs to the thread, and thus to the next test as well.
    while (readTurn.isOver) await new Promise((resolve) => setImmediate(resolve));
  });

  test('whose request comes in pieces, with the first frame behind it', () => {
    const { inner, events, say } = serve();
    const bytes = Buffer.concat([Buffer.from(`${request()}\r\n\r\n`), whole(2, 'first')]);
    for (const byte of bytes.subarray(0, -3)) say(Buffer.from([byte]));
    say(bytes.subarray(-3));
    expect(inner.sent[0]!.toString()).toMatch(/^HTTP\/1.1 101 /);
    expect(events).toEqual(['data f', 'data i', 'data rst']);
  });

  test('whose request never ends is refused with 431', () => {
    const { inner, events, below, say } = serve();
    say(Buffer.alloc(20_000, 'x'));
    expect(inner.sent[0]!.toString()).toMatch(/^HTTP\/1.1 431 /);
    expect(inner.ended).toBe(true);
    say(Buffer.from('more'));
    below.onClose(false);
    expect(events).toEqual(['left place']);
  });

  test('that is refused after its request has given its place back already', () => {
    const { inner, events, below, open } = serve(true);
    open();
    expect(inner.destroyed).toBe(true);
    below.onClose(false);
    expect(events).toEqual([]);
  });

  test('that ends with a close frame ends in order, one that just ends does not', () => {
    for (const isOrderly of [true, false]) {
      const { inner, events, below, say, open } = serve();
      open();
      if (isOrderly) say(Buffer.concat([whole(2, 'last'), close(1000)]));
      if (isOrderly) expect(inner.sent.at(-1)).toEqual(Buffer.from([0x88, 2, 3, 232]));
      expect(inner.finished).toBe(isOrderly);
      below.onClose(false);
      expect(events).toEqual(isOrderly ? ['data last', 'closed false'] : ['closed true']);
    }
  });

  test.each([
    ['a close frame', close(1001), true, 'closed false'],
    ['a close frame without a code', whole(8, ''), true, 'closed false'],
    ['a close frame with a code that may not be sent', close(1005), true, 'closed true'],
    [
      'a close frame whose reason is no UTF-8',
      encodeFrame({ opcode: 8, payload: Buffer.from([3, 232, 0xff]), mask: 0, isFinal: true }),
      true,
      'closed true',
    ],
    ['a text frame', whole(1, 'x'), false, 'closed true'],
  ])('that the peer ends by %s: its client hears at once, once, and is not waited for', async (_name, bytes, isClose, told) => {
    const { inner, events, below, say, open } = serve();
    open();
    say(bytes);
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual([told]);
    expect([inner.finished, inner.ended]).toEqual([isClose, !isClose]);
    say(whole(2, 'more'));
    below.onClose(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual([told]);
  });

  test('that we end is over when the peer has answered with its close frame, in the same read or later', () => {
    for (const isLater of [true, false]) {
      const { inner, say, open } = serve(false, false, (client) => client.end());
      open();
      const said = Buffer.concat([whole(2, 'bye'), whole(10, 'x')]);
      if (isLater) {
        say(said);
        expect([inner.ended, inner.finished]).toEqual([true, false]);
        say(whole(2, 'late'));
        say(close(1000));
      } else say(Buffer.concat([said, close(1000)]));
      expect(inner.finished).toBe(true);
    }
  });

  test('whose frames carry nothing waits when the turn of the thread is over, and loses nothing', async () => {
    const { inner, events, say, open } = serve();
    open();
    const pongs = Buffer.concat(Array.from({ length: 10_000 }, () => whole(10, 'x')));
    const until = performance.now() + 5_000;
    while (!inner.paused && performance.now() < until) say(pongs);
    expect(inner.paused).toBe(true);
    say(Buffer.concat([pongs, whole(2, 'behind'), whole(9, 'ping')]));
    expect(events).toEqual([]);
    while (inner.paused) await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual(['data behind']);
    expect(inner.sent.at(-1)).toEqual(Buffer.from([0x8a, 4, ...Buffer.from('ping')]));
  });

  test('that ends while its input waits for a turn is heard to the end first', () => {
    const { inner, events, below, say, open } = serve();
    open();
    const pongs = Buffer.concat(Array.from({ length: 10_000 }, () => whole(10, 'x')));
    const until = performance.now() + 5_000;
    while (!inner.paused && performance.now() < until) say(pongs);
    say(whole(2, 'last'));
    below.onClose(false);
    expect(events).toEqual(['data last', 'closed true']);
  });

  test('that is slow: pongs and messages wait in order, only the latest ping is answered, and the client hears once', () => {
    const { inner, events, below, say, open } = serve();
    const client = open();
    inner.takes = false;
    expect(client.send(Buffer.from('one'))).toBe(false);
    say(whole(9, 'a'));
    say(whole(9, 'b'));
    expect(client.send(Buffer.from('two'))).toBe(false);
    expect(inner.sent.length).toBe(2);
    inner.takes = true;
    below.onDrain();
    const frames = inner.sent.slice(1).map((bytes) => bytes.subarray(2).toString());
    expect(frames).toEqual(['one', 'b', 'two']);
    expect(inner.sent[2]![0]).toBe(0x8a);
    expect(events).toEqual(['drain']);
  });

  test('that speaks MQTT at once: let in where both may come, else ended without waiting for a request', () => {
    for (const isEither of [true, false]) {
      const { inner, events, below, say } = serve(false, isEither);
      say(Buffer.from('\x10rest'));
      expect(inner.destroyed).toBe(!isEither);
      say(Buffer.from('more'));
      below.onDrain();
      below.onClose(false);
      expect(events).toEqual(isEither ? ['data \x10rest', 'data more', 'drain', 'closed false'] : ['left place']);
      expect(inner.sent).toEqual([]);
    }
  });

  test('that is closed with bytes waiting gets them, then the close frame', () => {
    const { inner, say, open } = serve();
    const client = open();
    inner.takes = false;
    client.send(Buffer.from('one'));
    client.send(Buffer.from('two'));
    client.end();
    client.end();
    say(whole(2, 'late'));
    expect(inner.sent.slice(1).map((bytes) => bytes.subarray(2).toString('latin1'))).toEqual(['one', 'two', '\x03\xe8']);
    expect(inner.ended).toBe(true);
  });

  test.each([0, 125, 126, 65_535, 65_536, 200_000])('a message of %i bytes goes out in one frame', (size) => {
    const { inner, open } = serve();
    const client = open();
    expect(client.send(Buffer.alloc(size, 1))).toBe(true);
    const sent = inner.sent.at(-1)!;
    const head = size < 126 ? 2 : size < 65_536 ? 4 : 10;
    expect([sent[0], sent.length]).toEqual([0x82, head + size]);
    expect(head === 2 ? sent[1] : head === 4 ? sent.readUInt16BE(2) : Number(sent.readBigUInt64BE(2))).toBe(size);
    expect(sent.subarray(head).every((byte) => byte === 1)).toBe(true);
  });

  test('a large message is not copied where the connection takes its header by itself; when that is slow, a pong waits', () => {
    const { inner, open, say, events } = serve();
    const client = open();
    const parts: Buffer[] = [];
    const taking: Connection = inner;
    taking.sendBoth = (head, bytes) => {
      parts.push(Buffer.from(head), bytes);
      return inner.takes;
    };
    const large = Buffer.alloc(200_000, 1);
    const before = inner.sent.length;
    expect(client.send(large)).toBe(true);
    expect([parts[0]![0], parts[0]!.length, Number(parts[0]!.readBigUInt64BE(2))]).toEqual([0x82, 10, 200_000]);
    expect(parts[1]).toBe(large);
    inner.takes = false;
    expect(client.send(large)).toBe(false);
    say(whole(9, 'ping'));
    expect(inner.sent.length).toBe(before);
    inner.takes = true;
    events.length = 0;
    (client as unknown as ConnectionClient).onDrain();
    expect(events).toEqual(['drain']);
    expect(inner.sent.slice(before).map((bytes) => bytes[0])).toEqual([0x8a]);
  });
});
