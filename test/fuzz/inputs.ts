/** The input of a fuzzing client: valid packets, and every way to damage them. The seed determines all of it. */

import fc from 'fast-check';
import type { Filter, QoS, Version } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { PACKETS } from '../kit/packets.ts';
import type { Properties } from '../kit/properties.ts';
import { varint } from '../kit/properties.ts';

/** Random numbers from a seed: mulberry32. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** 0 .. count-1 */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** The behaviour of one connection: chunks in order, and its end. */
export interface Attack {
  kind: string;
  chunks: Buffer[];
  end: 'cut' | 'close' | 'wait';
}

const version: fc.Arbitrary<Version> = fc.constantFrom(3, 4, 5);
const qos: fc.Arbitrary<QoS> = fc.constantFrom(0, 1, 2);
const id = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 65535 }));
const level = fc.oneof(fc.constantFrom('a', 'b', 'c', '', '$SYS', 'ü', '\u{1f600}'), fc.string({ unit: 'binary', maxLength: 6 }));
/** The longest and deepest possible topics. */
const longest = fc.constantFrom('fuzz/'.padEnd(65_535, 'x'), 'fuzz/'.padEnd(65_535, '/'), 'fuzz/'.padEnd(40_001, 'a/'));
const topic = fc.oneof(
  { weight: 60, arbitrary: fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => `fuzz/${levels.join('/')}`) },
  { weight: 1, arbitrary: longest },
);
const filter = fc.oneof(
  { weight: 8, arbitrary: topic },
  { weight: 1, arbitrary: fc.constantFrom('fuzz/'.padEnd(40_001, '+/'), `${'fuzz/'.padEnd(40_001, '+/')}#`) },
  fc.array(fc.oneof(level, fc.constantFrom('+', '#')), { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/')),
  fc.constantFrom('#', '+/+', '$share/g/fuzz/#', '$share/g/+', '$queue/fuzz/a', '$SYS/#', '$share//x', 'a/#/b', ''),
);
const payload = fc
  .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 2000, maxLength: 3000, size: 'max' }))
  .map((bytes) => Buffer.from(bytes));
const clientId = fc.oneof(
  fc.constantFrom('', 'fuzz-1', 'fuzz-2', 'fuzz-3'),
  fc.string({ maxLength: 12 }).map((text) => `fuzz-${text}`),
);
const user = fc.option(fc.string({ maxLength: 8 }), { nil: undefined });

function properties(shape: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Properties> {
  return fc.record(shape, { requiredKeys: [] }) as fc.Arbitrary<Properties>;
}

const u16 = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 65535 }));
const u32 = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffffffff }));
const publishProperties = properties({
  messageExpiry: u32,
  topicAlias: u16,
  responseTopic: topic,
  correlationData: payload,
  contentType: fc.string({ maxLength: 8 }),
  payloadFormat: fc.constantFrom(0, 1, 2),
});
const connectProperties = properties({
  sessionExpiry: fc.constantFrom(0, 1, 2, 30, 0xffffffff),
  receiveMaximum: u16,
  maximumPacketSize: u32,
  topicAliasMaximum: u16,
});

const connect = version.chain((v) =>
  fc
    .record({
      clientId,
      clean: fc.boolean(),
      keepAlive: fc.constantFrom(0, 1, 60, 65535),
      username: user,
      password: user,
      will: fc.option(fc.record({ topic, payload, qos, retain: fc.constant(false), properties: publishProperties }), { nil: undefined }),
      properties: connectProperties,
    })
    .map((options) => encode.connect(v, options)),
);

/** A packet for an open connection. */
function packet(v: Version): fc.Arbitrary<Buffer> {
  const publish = fc
    .record({ topic, payload, qos, retain: fc.boolean(), dup: fc.boolean(), id, properties: publishProperties })
    .map(({ topic: name, payload: body, ...options }) => encode.publish(v, name, body, options));
  const filters: fc.Arbitrary<Filter[]> = fc.array(
    fc.record({ filter, qos, noLocal: fc.boolean(), retainAsPublished: fc.boolean(), retainHandling: fc.constantFrom(0, 1, 2) }),
    { maxLength: 4 },
  );
  const subscribe = fc
    .tuple(id, filters)
    .map(([packetId, list]) =>
      encode.subscribe(v, packetId, v === 5 ? list : list.map((each) => ({ filter: each.filter, qos: each.qos ?? 0 }))),
    );
  const unsubscribe = fc.tuple(id, fc.array(filter, { maxLength: 3 })).map(([packetId, list]) => encode.unsubscribe(v, packetId, list));
  const code = fc.constantFrom(undefined, 0, 0x10, 0x80, 0x92, 0xff);
  const acks = [encode.puback, encode.pubrec, encode.pubrel, encode.pubcomp].map((make) =>
    fc.tuple(id, code).map(([packetId, reason]) => make(packetId, v === 5 ? reason : undefined)),
  );
  return fc.oneof(
    { weight: 5, arbitrary: publish },
    { weight: 3, arbitrary: subscribe },
    unsubscribe,
    ...acks,
    fc.constant(encode.pingreq()),
    { weight: 1, arbitrary: fc.constantFrom(encode.disconnect(), encode.disconnect(4), encode.auth(0x18, {})) },
  );
}

/** CONNECT and the packets after it. */
const conversation = version.chain((v) =>
  fc
    .tuple(
      clientId
        .chain((name) => fc.record({ clientId: fc.constant(name), clean: fc.boolean(), properties: connectProperties }))
        .map((options) => encode.connect(v, options)),
      fc.array(packet(v), { maxLength: 12 }),
    )
    .map(([first, rest]) => [first, ...rest]),
);
const anyPackets = fc.array(fc.oneof(connect, version.chain(packet)), { minLength: 1, maxLength: 10 });

/** Changes a few bytes in any way. */
function mutate(dice: Dice, source: Buffer): Buffer {
  let bytes = Buffer.from(source);
  for (let times = 1 + dice.below(4); times > 0; times--) {
    const at = dice.below(Math.max(1, bytes.length));
    switch (dice.below(6)) {
      case 0:
        if (bytes.length > 0) bytes[at]! ^= 1 << dice.below(8);
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = dice.pick([0, 1, 0x7f, 0x80, 0xff, dice.below(256)]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), dice.bytes(1 + dice.below(4)), bytes.subarray(at)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.below(4))]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - dice.below(20)))]);
        break;
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

/** A packet that claims to be long, and a part of it. */
function overLong(dice: Dice): Buffer {
  const claim = dice.pick([128 * 1024, 1024 * 1024 + 1, 2_097_152, 268_435_455]);
  return Buffer.concat([Buffer.from([dice.pick([0x10, 0x30, 0x32, 0x82, 0x62, 0xf0])]), varint(claim), dice.bytes(dice.below(3000))]);
}

/** The connection of a seed. */
export function makeAttack(seed: number): Attack {
  const dice = new Dice(seed);
  const one = <T>(arbitrary: fc.Arbitrary<T>): T => fc.sample(arbitrary, { seed, numRuns: 1 })[0]!;
  const end = dice.pick(['cut', 'close', 'wait'] as const);
  const opened = [encode.connect(dice.pick([3, 4, 5] as const), { clientId: `fuzz-${dice.below(50)}` })];
  switch (dice.below(9)) {
    case 0:
      return { kind: 'conversation', chunks: one(conversation), end };
    case 1:
      return { kind: 'mutated', chunks: one(conversation).map((each) => (dice.below(3) === 0 ? mutate(dice, each) : each)), end };
    case 2:
      return { kind: 'random', chunks: [...(dice.below(2) === 0 ? opened : []), dice.bytes(1 + dice.below(400))], end };
    case 3: {
      const whole = Buffer.concat(one(conversation)).subarray(0, 400);
      return { kind: 'byte by byte', chunks: Array.from(whole, (_, at) => whole.subarray(at, at + 1)), end };
    }
    case 4: {
      const whole = Buffer.concat(one(conversation));
      return { kind: 'cut off', chunks: [whole.subarray(0, dice.below(whole.length))], end: 'cut' };
    }
    case 5:
      return { kind: 'over-long', chunks: [...(dice.below(2) === 0 ? opened : []), overLong(dice)], end };
    case 6:
      return { kind: 'out of order', chunks: one(anyPackets), end };
    case 7: {
      const row = dice.pick(PACKETS);
      const first = row.version === 0 ? [] : [encode.connect(row.version, { clientId: `fuzz-${dice.below(50)}` })];
      return { kind: 'table', chunks: [...first, dice.below(2) === 0 ? row.packet : mutate(dice, row.packet)], end };
    }
    default: {
      const whole = Buffer.concat(one(conversation).map((each) => (dice.below(4) === 0 ? mutate(dice, each) : each)));
      const chunks = [];
      for (let at = 0; at < whole.length; ) {
        const size = 1 + dice.below(Math.max(30, Math.ceil(whole.length / 50)));
        chunks.push(whole.subarray(at, at + size));
        at += size;
      }
      return { kind: 'pieces', chunks, end };
    }
  }
}
