/** One link over a wire in virtual time: how it begins, repairs, holds back and ends. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LinkOptions, LinkUser } from '../../../src/link/contract.ts';
import { FIRST_SEQ, FRAME_BYTES_MAX, type FrameHead, HEAD_BYTES, KIND, readHead, writeHead } from '../../../src/link/frame.ts';
import { Link } from '../../../src/link/link.ts';
import { FaultyWire, HEALTHY, seeded } from '../../kit/faulty-wire.ts';

const MEBIBYTE = 1024 * 1024;

interface Side {
  link: Link;
  events: string[];
  heard: { lane: number; packet: Buffer; at: number }[];
  acked: number[];
  rooms: number;
  isStill: boolean;
  /** false: only counts what it hears */
  keeps: boolean;
}

class Pair {
  readonly wire: FaultyWire;
  readonly a: Side;
  readonly b: Side;
  readonly #random: () => number;

  constructor(options: Partial<LinkOptions> = {}, seed = 1) {
    this.#random = seeded(seed);
    this.wire = new FaultyWire(this.#random);
    this.a = this.side('a', 'b', options);
    this.b = this.side('b', 'a', options);
  }

  side(name: string, other: string, options: Partial<LinkOptions> = {}): Side {
    const transport = this.wire.transport(name);
    const draw = () => Math.floor(this.#random() * 2 ** 32);
    const side: Omit<Side, 'link'> = { events: [], heard: [], acked: [], rooms: 0, isStill: false, keeps: true };
    const hooks: LinkUser = {
      send: (frame) => transport.send(other, frame),
      up: () => side.events.push('up'),
      down: (reason) => side.events.push(reason),
      deliver: (lane, bytes) => side.heard.push({ lane, packet: Buffer.from(side.keeps ? bytes : []), at: this.wire.now() }),
      acked: (lane, count) => {
        side.acked[lane] = (side.acked[lane] ?? 0) + count;
      },
      room: () => side.rooms++,
    };
    const link = new Link({ incarnation: draw(), now: this.wire.now, random32: draw, ...options }, hooks);
    transport.onFrame((_node, frame) => link.heard(frame));
    transport.onState((isConnected) => link.connected(isConnected));
    return Object.assign(side, { link });
  }

  run(ms: number, each: () => void = () => {}): void {
    for (let passed = 0; passed < ms; passed++) {
      this.wire.advance(1);
      each();
      for (const { link, isStill } of [this.a, this.b]) {
        if (isStill) continue;
        if (passed % 20 === 0) link.tick();
        link.flush();
      }
    }
  }

  up(): this {
    this.run(50);
    expect([this.a.link.state, this.b.link.state]).toEqual(['up', 'up']);
    return this;
  }
}

const packet = (bytes: number, fill = 0) => Buffer.alloc(bytes, fill);

test('a link is up after the first greetings, and carries packets of any size in the order of their lane', () => {
  const pair = new Pair().up();
  const sizes = [0, 1, 100, FRAME_BYTES_MAX - HEAD_BYTES - 8, FRAME_BYTES_MAX - HEAD_BYTES - 7, FRAME_BYTES_MAX, 3_000_000, 5];
  for (const [index, size] of sizes.entries()) expect(pair.a.link.write(0, packet(size, index))).not.toBeNull();
  pair.run(200);
  expect(pair.b.heard.map(({ packet: { length } }) => length)).toEqual(sizes);
  expect(pair.b.heard.every(({ packet: each }, index) => each.every((byte) => byte === index))).toBe(true);
  expect(pair.a.acked).toEqual([sizes.length]);
  expect(pair.a.link.keptBytes).toBe(0);
  expect(pair.a.link.counts).toMatchObject({ resent: 0, refused: 0, rttMs: 2 });
  expect(pair.b.link.counts).toMatchObject({ duplicate: 0, late: 0, received: pair.a.link.counts.sent });
  expect(pair.b.link.counts.bytesReceived).toBe(pair.a.link.counts.bytesSent);
});

test('sequences pass the end of 32 bits', () => {
  const pair = new Pair().up();
  let written = 0;
  pair.run(2_500, () => {
    if (pair.a.link.write(0, packet(10, written)) !== null) written++;
  });
  pair.run(50);
  expect(pair.b.link.counts.received).toBeGreaterThan(2 ** 32 - FIRST_SEQ);
  expect(pair.b.heard.map(({ packet: each }) => each[0])).toEqual(Array.from({ length: written }, (_, n) => n & 0xff));
});

test.each([
  [0.01, 0.8],
  [0.05, 0.8],
])('at a loss of %d of all frames, 6,000 frames of 16 KB a second lose nothing and keep the rate', (drop, share) => {
  const pair = new Pair({}, 7).up();
  pair.b.keeps = false;
  pair.wire.faults = { ...HEALTHY, drop };
  let offered = 0;
  let written = 0;
  pair.run(2_000, () => {
    for (let i = 0; i < 6; i++, offered++) {
      if (pair.a.link.write(0, packet(16_000)) !== null) written++;
      pair.a.link.flush();
    }
  });
  expect(pair.b.heard.length / offered).toBeGreaterThan(share);
  pair.wire.faults = { ...HEALTHY };
  pair.run(1_000);
  expect(pair.b.heard).toHaveLength(written);
  // Selective: hardly more is sent again than was lost.
  expect(pair.a.link.counts.resent / pair.a.link.counts.sent).toBeLessThan(1.5 * drop + 0.01);
});

test('the last frame before a silence is repeated by the sender, sooner than by the next sign of life', () => {
  const pair = new Pair().up();
  pair.run(100);
  pair.wire.faults = { ...HEALTHY, drop: 1 };
  pair.a.link.write(0, packet(10));
  pair.run(3);
  pair.wire.faults = { ...HEALTHY };
  pair.run(230);
  expect(pair.b.heard).toHaveLength(1);
  expect(pair.a.acked).toEqual([1]);
});

test('small packets pass a large one of another lane, and wait for one of their own', () => {
  const pair = new Pair().up();
  pair.wire.faults = { ...HEALTHY, bytesPerMs: 100_000 };
  pair.a.link.write(1, packet(64 * MEBIBYTE, 1));
  pair.a.link.write(1, packet(10, 2));
  const sent: number[] = [];
  pair.run(600, () => {
    if (pair.a.link.write(0, packet(64)) !== null) sent.push(pair.wire.now());
  });
  expect(sent).toHaveLength(600);
  const small = pair.b.heard.filter(({ lane }) => lane === 0);
  const delays = small.map(({ at }, index) => at - sent[index]!);
  // Half a window is before a small packet at most: 2 MiB at 100 MB/s.
  expect(Math.max(...delays)).toBeLessThan(30);
  pair.run(400);
  const large = pair.b.heard.filter(({ lane }) => lane === 1).map(({ packet: { length } }) => length);
  expect(large).toEqual([64 * MEBIBYTE, 10]);
});

test('a node that stands still holds back its senders at the window, and gets everything when it moves on', () => {
  const pair = new Pair().up();
  pair.wire.freeze('b', true);
  pair.b.isStill = true;
  let written = 0;
  let peak = 0;
  const write = () => {
    for (let room = pair.a.link.room; room > 0; written++) room = pair.a.link.write(0, packet(40_000)) ?? 0;
    peak = Math.max(peak, pair.a.link.keptBytes);
  };
  pair.run(2_000, write);
  expect(pair.a.link.write(0, packet(1))).toBeNull();
  expect(pair.a.link.state).toBe('suspect');
  expect(peak).toBeLessThan(4 * MEBIBYTE + FRAME_BYTES_MAX);
  expect([pair.a.rooms, pair.a.link.counts.refused]).toEqual([0, 1]);
  pair.b.isStill = false;
  pair.wire.freeze('b', false);
  pair.run(100);
  expect(pair.b.heard).toHaveLength(written);
  expect(pair.a.rooms).toBeGreaterThan(0);
  expect([...pair.a.events, ...pair.b.events]).toEqual(['up', 'up']);
});

test('packets that are not taken hold the window, and are not sent again', () => {
  const pair = new Pair({ takes: 'later' }).up();
  while (pair.a.link.room > 0) pair.a.link.write(3, packet(40_000));
  pair.run(3_000);
  const count = pair.b.heard.length;
  expect(count).toBeGreaterThan(100);
  expect([pair.a.acked, pair.a.link.room > 0, pair.a.link.counts.resent]).toEqual([[], false, 0]);
  pair.b.link.take(40);
  pair.run(5);
  // A frame is taken as a whole.
  expect(pair.a.acked[3]).toBeGreaterThan(40 - 7);
  expect(pair.a.acked[3]).toBeLessThanOrEqual(40);
  pair.b.link.take(count);
  pair.run(5);
  expect(pair.a.acked[3]).toBe(count);
});

test('a packet that is too large, alone or beside what waits for another, is refused and counted', () => {
  const pair = new Pair({ packetBytesMax: 8 * MEBIBYTE }).up();
  expect(pair.a.link.write(0, packet(8 * MEBIBYTE + 1))).toBeNull();
  expect(pair.a.link.write(0, packet(7 * MEBIBYTE))).not.toBeNull();
  expect(pair.a.link.write(1, packet(2 * MEBIBYTE))).toBeNull();
  expect(pair.a.link.write(1, packet(MEBIBYTE))).not.toBeNull();
  expect(pair.a.link.write(2, packet(10))).not.toBeNull();
  expect(pair.a.link.counts.refused).toBe(2);
  pair.run(300);
  expect(pair.a.acked).toEqual([1, 1, 1]);
  expect(() => pair.a.link.write(256, packet(1))).toThrow(RangeError);
});

test('silence: suspect after 1.5 s, down after 4 s, and up again with a new session; what was not acknowledged is counted', () => {
  const pair = new Pair().up();
  pair.wire.connect('b', false);
  for (let n = 0; n < 5; n++) pair.a.link.write(0, packet(10));
  pair.run(1_400);
  expect(pair.a.link.state).toBe('up');
  pair.run(200);
  expect(pair.a.link.state).toBe('suspect');
  pair.run(2_300);
  expect(pair.a.link.state).toBe('suspect');
  pair.run(200);
  expect(pair.a.link.state).toBe('greeting');
  expect(pair.a.events).toEqual(['up', 'the other node was silent for 4000 ms']);
  expect(pair.a.link.counts).toMatchObject({ ended: 1, unacknowledged: 5 });
  expect(pair.a.link.write(0, packet(1))).toBeNull();
  pair.wire.connect('b', true);
  pair.run(2_200);
  expect(pair.a.events.at(-1)).toBe('up');
  expect(pair.b.heard).toEqual([]);
});

test('a pause of the process itself is no silence of the other node', () => {
  const pair = new Pair().up();
  pair.a.isStill = true;
  pair.wire.freeze('a', true);
  pair.run(3_000);
  pair.a.isStill = false;
  // The tick comes before what was sent during the pause is read.
  pair.a.link.tick();
  expect(pair.a.link.state).toBe('up');
  pair.wire.freeze('a', false);
  pair.run(100);
  expect([...pair.a.events, ...pair.b.events]).toEqual(['up', 'up']);
});

test('a restarted node begins anew: the other one learns it once, and a goodbye ends a session at once', () => {
  const pair = new Pair().up();
  const again = pair.side('b', 'a');
  pair.run(1, () => again.link.tick());
  pair.run(10);
  expect(again.link.state).toBe('up');
  expect(pair.a.events).toEqual(['up', 'the other node has begun anew', 'up']);
  again.link.close();
  pair.run(3);
  expect(pair.a.events.at(-1)).toBe('the other node said goodbye');
  expect(again.link.state).toBe('closed');
});

/** A peer by hand: what the link sends, and frames with chosen epochs. */
function byHand() {
  const sent: FrameHead[] = [];
  const heard: number[] = [];
  const events: string[] = [];
  let now = 1_000;
  let drawn = 100;
  const link = new Link(
    { incarnation: 1, now: () => now, random32: () => drawn++ },
    {
      send: (frame) => sent.push(readHead(frame)!) > 0,
      up: (incarnation) => events.push(`up ${incarnation}`),
      down: (reason) => events.push(reason),
      deliver: (_lane, bytes) => heard.push(bytes[0]!),
      acked: () => events.push('acked'),
      room: () => {},
    },
  );
  const hear = (head: Partial<FrameHead>, ...parts: number[][]) => {
    const body = Buffer.concat(parts.map((bytes) => Buffer.from([1, 0, 0, 0, bytes.length, 0, 0, 0, ...bytes])));
    const frame = Buffer.concat([Buffer.alloc(HEAD_BYTES), body]);
    const base = { kind: KIND.report, epoch: 0, toEpoch: 0, seq: FIRST_SEQ - 1, got: FIRST_SEQ - 1, taken: FIRST_SEQ - 1 };
    writeHead(frame, { ...base, sentAt: 1, echo: 0, keptMs: 0, incarnation: 9, ...head });
    link.heard(frame);
  };
  const tick = (ms: number) => {
    now += ms;
    link.tick();
  };
  link.connected(true);
  return { link, sent, heard, events, hear, tick };
}

test('a frame counts only when it names both epochs of the session', () => {
  const { link, sent, heard, events, hear } = byHand();
  const own = sent[0]!.epoch;
  const data = (epoch: number, toEpoch: number, value: number, seq = FIRST_SEQ) => hear({ kind: KIND.data, epoch, toEpoch, seq }, [value]);
  // An earlier life of the peer had heard this greeting too, and died; its frames come late.
  hear({ kind: KIND.hello, epoch: 5, incarnation: 8 });
  hear({ kind: KIND.hello, epoch: 6 });
  hear({ kind: KIND.confirm, epoch: 6, toEpoch: own });
  expect([link.state, events]).toEqual(['up', ['up 9']]);
  data(5, own, 1);
  data(6, own + 1, 2);
  data(6, 0, 3);
  expect(link.counts.late).toBe(3);
  data(6, own, 4);
  data(5, own, 5, FIRST_SEQ + 1);
  expect([heard, link.counts.received]).toEqual([[4], 1]);
  hear({ kind: KIND.bye, epoch: 5, toEpoch: own });
  expect(link.state).toBe('up');
});

test('a late greeting of an earlier life does not disturb a session; a live one proves itself and replaces it', () => {
  const { link, sent, heard, events, hear } = byHand();
  const own = sent[0]!.epoch;
  hear({ kind: KIND.hello, epoch: 6 });
  hear({ kind: KIND.confirm, epoch: 6, toEpoch: own });
  hear({ kind: KIND.hello, epoch: 5 });
  const late = sent.at(-1)!;
  expect(late).toMatchObject({ kind: KIND.challenge, toEpoch: 5 });
  expect(late.epoch).not.toBe(own);
  // The answer of another life than the challenged one.
  hear({ kind: KIND.confirm, epoch: 6, toEpoch: late.epoch });
  hear({ kind: KIND.data, epoch: 6, toEpoch: own, seq: FIRST_SEQ }, [1]);
  expect([events, heard]).toEqual([['up 9'], [1]]);
  hear({ kind: KIND.hello, epoch: 7, incarnation: 10 });
  const challenge = sent.at(-1)!;
  hear({ kind: KIND.confirm, epoch: 7, toEpoch: challenge.epoch, incarnation: 10 });
  expect(events).toEqual(['up 9', 'the other node has begun anew', 'up 10']);
  hear({ kind: KIND.data, epoch: 6, toEpoch: own, seq: FIRST_SEQ + 1 }, [2]);
  hear({ kind: KIND.data, epoch: 7, toEpoch: challenge.epoch, seq: FIRST_SEQ }, [3]);
  expect([heard, link.state]).toEqual([[1, 3], 'up']);
});

test('a confirmation without an answer ends, and what no receiver can say is ignored', () => {
  const { link, sent, events, hear, tick } = byHand();
  const own = sent[0]!.epoch;
  hear({ kind: KIND.challenge, epoch: 6, toEpoch: own });
  expect(sent.at(-1)).toMatchObject({ kind: KIND.confirm, epoch: own, toEpoch: 6 });
  expect(link.write(0, packet(1))).toBeNull();
  for (let n = 0; n < 6; n++) tick(250);
  const greeting = sent.at(-1)!;
  expect(greeting).toMatchObject({ kind: KIND.hello });
  expect(greeting.epoch).not.toBe(own);
  hear({ kind: KIND.challenge, epoch: 6, toEpoch: greeting.epoch });
  const session = { epoch: 6, toEpoch: greeting.epoch };
  hear(session);
  expect(link.state).toBe('up');
  link.write(0, packet(1));
  link.flush();
  hear({ ...session, got: FIRST_SEQ + 1, taken: FIRST_SEQ + 1 });
  hear({ ...session, got: FIRST_SEQ - 1, taken: FIRST_SEQ });
  expect(events).toEqual(['up 9']);
  hear({ ...session, got: FIRST_SEQ, taken: FIRST_SEQ });
  expect(events).toEqual(['up 9', 'acked']);
});

test('bytes that are no frames are counted and change nothing; a frame that cannot be read ends the session', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const { link } = byHand();
      link.heard(bytes);
      expect(link.state).toBe('greeting');
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.nat(5), (body, kind) => {
      const { link, sent, hear } = byHand();
      const own = sent[0]!.epoch;
      hear({ kind: KIND.confirm, epoch: 6, toEpoch: own });
      const frame = Buffer.concat([Buffer.alloc(HEAD_BYTES), body]);
      const base = { epoch: 6, toEpoch: own, seq: FIRST_SEQ, got: 7, taken: 7, sentAt: 1, echo: 3, keptMs: 1, incarnation: 9 };
      writeHead(frame, { ...base, kind: (kind + 1) as FrameHead['kind'] });
      link.heard(frame);
      expect(link.keptBytes).toBeLessThan(MEBIBYTE);
    }),
  );
  const { link, sent, events, hear } = byHand();
  hear({ kind: KIND.confirm, epoch: 6, toEpoch: sent[0]!.epoch });
  const cut = Buffer.concat([Buffer.alloc(HEAD_BYTES), Buffer.from([1, 0, 0, 0, 9, 0, 0, 0, 1])]);
  const head = {
    kind: KIND.data,
    epoch: 6,
    toEpoch: sent[0]!.epoch,
    seq: FIRST_SEQ,
    got: 0,
    taken: 0,
    sentAt: 1,
    echo: 0,
    keptMs: 0,
    incarnation: 9,
  };
  writeHead(cut, head);
  link.heard(cut);
  expect(events).toEqual(['up 9', 'the other node sent a frame that cannot be read: a part is longer than its frame']);
  expect(link.counts.invalid).toBe(1);
});
