/**
 * Links over a wire with every fault, against a model: a packet that is acknowledged was taken, once, and in the order of its lane; nothing of
 * one session comes in another; at rest everything is there and nothing is kept.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LinkUser } from '../../../src/link/contract.ts';
import { Link } from '../../../src/link/link.ts';
import type { LinkTransport } from '../../../src/link/transport.ts';
import { FaultyWire, HEALTHY, seeded } from '../../kit/faulty-wire.ts';

const WINDOW = 1024 * 1024;
const LANES = 3;
const STEP_MS = 10;
/** Bytes that a link may keep: the window, frames behind a gap, one frame for each, and packets behind a large one. */
const KEPT_MAX = 2 * WINDOW + 4 * 256 * 1024 + 2 * 1024 * 1024;
const NAMES = ['a', 'b'] as const;
type Name = (typeof NAMES)[number];
const otherOf = (name: Name): Name => (name === 'a' ? 'b' : 'a');

/** The packets that one process of a node wrote and received within one session. */
interface Session {
  readonly id: number;
  readonly written: number[];
  readonly acked: number[];
  /** by lane: numbers of packets that came */
  readonly heard: number[][];
  /** the session of the sender that these came from */
  source: number | null;
  isOver: boolean;
}

class Node {
  readonly name: Name;
  readonly link: Link;
  readonly sessions: Session[] = [];
  readonly #field: Field;
  isFrozen = false;
  #untaken: { place: string; count: number }[] = [];

  constructor(name: Name, field: Field, transport: LinkTransport, takes: 'at-delivery' | 'later') {
    this.name = name;
    this.#field = field;
    const options = { incarnation: field.draw(), now: field.wire.now, random32: () => field.draw(), windowBytes: WINDOW, takes };
    this.link = new Link({ ...options, packetBytesMax: 1024 * 1024 }, this.#hooks(transport, takes));
    transport.onFrame((_node, frame) => this.link.heard(frame));
    transport.onState((isConnected) => this.link.connected(isConnected));
  }

  get session(): Session | null {
    const last = this.sessions.at(-1);
    return last === undefined || last.isOver ? null : last;
  }

  #hooks(transport: LinkTransport, takes: string): LinkUser {
    return {
      send: (frame) => transport.send(otherOf(this.name), frame),
      up: () => {
        expect(this.session).toBeNull();
        const zeros = () => Array.from({ length: LANES }, () => 0);
        const heard = Array.from({ length: LANES }, (): number[] => []);
        const session = { id: this.#field.ids++, written: zeros(), acked: zeros(), heard, source: null, isOver: false };
        this.sessions.push(session);
        this.#field.all.set(session.id, session);
      },
      down: (_reason, unacknowledged) => {
        const session = this.session!;
        session.isOver = true;
        const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
        expect(unacknowledged).toBe(sum(session.written) - sum(session.acked));
      },
      deliver: (lane, packet, number) => {
        this.#deliver(lane, Buffer.from(packet));
        if (takes === 'at-delivery') this.#take();
        else if (number % 3 === 0) this.take(number);
      },
      acked: (lane, count) => {
        const session = this.session!;
        session.acked[lane]! += count;
        expect(this.#field.takenOf(session.id, lane)).toBeGreaterThanOrEqual(session.acked[lane]!);
      },
      room: () => expect(this.link.room).toBeGreaterThan(0),
    };
  }

  #deliver(lane: number, packet: Buffer): void {
    const session = this.session!;
    const source = packet.readUInt32LE(0);
    session.source ??= source;
    expect(source).toBe(session.source);
    expect(this.#field.receiverOf(source, session.id)).toBe(session.id);
    const n = packet.readUInt32LE(4);
    expect(n).toBe(session.heard[lane]!.length);
    expect(packet.length).toBe(packet.readUInt32LE(8));
    expect(packet.at(-1)).toBe(n & 0xff);
    session.heard[lane]!.push(n);
    this.#untaken.push({ place: `${source}.${lane}`, count: n + 1 });
  }

  /** Takes all packets that came. */
  take(upTo = Number.MAX_SAFE_INTEGER): void {
    this.#take();
    this.link.take(upTo);
  }

  #take(): void {
    for (const { place, count } of this.#untaken.splice(0)) this.#field.taken.set(place, count);
  }

  write(lane: number, bytes: number): void {
    const session = this.session;
    const packet = Buffer.alloc(Math.max(13, bytes));
    const n = session?.written[lane] ?? 0;
    packet.writeUInt32LE(session?.id ?? 0, 0);
    packet.writeUInt32LE(n, 4);
    packet.writeUInt32LE(packet.length, 8);
    packet[packet.length - 1] = n & 0xff;
    const room = this.link.write(lane, packet);
    if (session === null) expect(room).toBeNull();
    else if (room !== null) session.written[lane]!++;
  }
}

class Field {
  readonly wire: FaultyWire;
  readonly all = new Map<number, Session>();
  /** packets, by session of the sender and lane */
  readonly taken = new Map<string, number>();
  readonly #receivers = new Map<number, number>();
  readonly nodes: Record<Name, Node>;
  readonly random: () => number;
  readonly takes: 'at-delivery' | 'later';
  ids = 1;

  constructor(seed: number, takes: 'at-delivery' | 'later') {
    this.random = seeded(seed);
    this.takes = takes;
    this.wire = new FaultyWire(this.random);
    this.nodes = { a: this.#start('a'), b: this.#start('b') };
  }

  readonly draw = (): number => Math.floor(this.random() * 2 ** 32);

  takenOf(session: number, lane: number): number {
    return this.taken.get(`${session}.${lane}`) ?? 0;
  }

  /** Packets of one session of a sender arrive within one session of a receiver. */
  receiverOf(source: number, receiver: number): number {
    if (!this.#receivers.has(source)) this.#receivers.set(source, receiver);
    return this.#receivers.get(source)!;
  }

  #start(name: Name): Node {
    return new Node(name, this, this.wire.transport(name), this.takes);
  }

  restart(name: Name): void {
    this.nodes[name] = this.#start(name);
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.wire.advance(STEP_MS);
      for (const name of NAMES) {
        const node = this.nodes[name];
        if (node.isFrozen) continue;
        if (this.takes === 'later' && this.random() < 0.2) node.take();
        node.link.tick();
        node.link.flush();
        expect(node.link.keptBytes).toBeLessThan(KEPT_MAX);
      }
    }
  }

  freeze(name: Name, isFrozen: boolean): void {
    this.nodes[name].isFrozen = isFrozen;
    this.wire.freeze(name, isFrozen);
  }

  /** All faults end; both must be up, and everything acknowledged. */
  settle(): void {
    this.wire.faults = { ...HEALTHY };
    for (const name of NAMES) {
      this.wire.connect(name, true);
      this.freeze(name, false);
    }
    for (let waited = 0; waited < 20_000 && !this.#isAtRest(); waited += 500) this.run(500);
    for (const name of NAMES) {
      const { link, session } = this.nodes[name];
      expect(link.state).toBe('up');
      expect(session!.acked).toEqual(session!.written);
      expect(link.keptBytes).toBe(0);
    }
    for (const name of NAMES) {
      const other = this.nodes[otherOf(name)].session!;
      const counts = other.heard.map(({ length }) => length);
      expect(counts).toEqual(this.nodes[name].session!.written);
    }
  }

  #isAtRest(): boolean {
    return NAMES.every((name) => {
      const { link, session } = this.nodes[name];
      return link.state === 'up' && link.keptBytes === 0 && session!.acked.every((count, lane) => count === session!.written[lane]);
    });
  }
}

type Step = (field: Field) => void;

const name = fc.constantFrom(...NAMES);
const rate = fc.constantFrom(0, 0, 0.01, 0.05, 0.3);
const bytes = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 13, max: 300 }) },
  { weight: 3, arbitrary: fc.constant(40_000) },
  fc.constant(700_000),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ who: name, lane: fc.nat(LANES - 1), size: bytes, times: fc.integer({ min: 1, max: 40 }) }).map(
      ({ who, lane, size, times }): Step =>
        (field) => {
          for (let i = 0; i < times; i++) if (!field.nodes[who].isFrozen) field.nodes[who].write((lane + i) % LANES, size);
        },
    ),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(10, 50, 250, 1_000).map(
      (ms): Step =>
        (field) =>
          field.run(ms),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ drop: rate, double: rate, late: rate, lateMs: fc.constantFrom(30, 2_000, 9_000), refuse: rate }).map(
      (faults): Step =>
        (field) => {
          field.wire.faults = { ...HEALTHY, ...faults };
        },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ who: name, ms: fc.constantFrom(30, 1_000, 6_000) }).map(
      ({ who, ms }): Step =>
        (field) => {
          field.wire.connect(who, false);
          field.run(ms);
          field.wire.connect(who, true);
        },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ who: name, ms: fc.constantFrom(300, 3_000, 6_000) }).map(
      ({ who, ms }): Step =>
        (field) => {
          field.freeze(who, true);
          field.run(ms);
          field.freeze(who, false);
        },
    ),
  },
  {
    weight: 1,
    arbitrary: name.map(
      (who): Step =>
        (field) =>
          field.restart(who),
    ),
  },
);

test.each(['at-delivery', 'later'] as const)(
  'packets that are taken %s: acknowledged is taken once and in order, whatever happens',
  (takes) => {
    fc.assert(
      fc.property(fc.integer(), fc.array(step, { maxLength: 40 }), (seed, steps) => {
        const field = new Field(seed, takes);
        field.run(1_000);
        for (const each of steps) each(field);
        field.settle();
      }),
      { numRuns: Number(process.env['LINK_RUNS'] ?? 500) },
    );
  },
  120_000,
);
