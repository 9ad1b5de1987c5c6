/** Acknowledgements of a subscriber, however its bytes are cut: settled messages, answers, and the end of the connection. */

import fc from 'fast-check';
import mqttPacket, { type Packet as TheirPacket } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import { inTime } from '../../kit/in-time.ts';
import { BYTES, type Cuts, cuts, feed, WHOLE } from './cuts.ts';
import { answerOf, connect, generate, parse, type Version } from './oracle.ts';
import { settled, World } from './world.ts';

type Ack = 'puback' | 'pubrec' | 'pubcomp';

interface Step {
  cmd: Ack | 'due';
  /** identifiers are given from 1 on: some of these are in flight */
  messageId: number;
  hasFailed: boolean;
}

const steps = fc.array(
  fc.record<Step>({
    // Mostly acknowledgements that messages in flight expect.
    cmd: fc.constantFrom<Ack | 'due'>('puback', 'pubrec', 'pubcomp', ...Array<'due'>(40).fill('due')),
    messageId: fc.integer({ min: 1, max: 24 }),
    hasFailed: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
  }),
  { maxLength: 60 },
);
const levels = fc.array(fc.constantFrom<1 | 2>(1, 2), { minLength: 1, maxLength: 20 });

interface Outcome {
  /** identifier and QoS, `released` when PUBREC has come; null: the connection has ended */
  inFlight: string[] | null;
  answers: string[];
}

/** The acknowledgements that each identifier expects, in order. */
function settle(qos: readonly (1 | 2)[], acks: readonly Step[]): (Step & { cmd: Ack })[] {
  const seen = new Set<number>();
  return acks.map(({ cmd, messageId, hasFailed }) => {
    const isSecond = seen.has(messageId);
    seen.add(messageId);
    const due = qos[messageId - 1] === 2 ? (isSecond ? 'pubcomp' : 'pubrec') : 'puback';
    return { cmd: cmd === 'due' ? due : cmd, messageId, hasFailed };
  });
}

function encode({ cmd, messageId, hasFailed }: Step, version: Version): Buffer {
  const reasonCode = version === 5 && hasFailed && cmd !== 'pubcomp' ? REASON.unspecifiedError : 0;
  return mqttPacket.generate({ cmd, messageId, reasonCode } as TheirPacket, { protocolVersion: version });
}

/** The answers that the standard demands. */
function expected(qos: readonly (1 | 2)[], acks: readonly Step[], version: Version): Outcome {
  const flight = new Map(qos.map((level, i) => [i + 1, { level, isReleased: false }]));
  const answers: string[] = [];
  for (const step of acks) {
    const packet = parse(encode(step, version), version)[0] as TheirPacket & { messageId: number; reasonCode?: number };
    const id = packet.messageId;
    const known = flight.get(id);
    const isDue = packet.cmd === 'puback' ? known?.level === 1 : known?.level === 2 && (packet.cmd === 'pubrec' || known.isReleased);
    if (known !== undefined && !isDue) {
      if (version === 5) answers.push(`disconnect ${REASON.protocolError}`);
      return { answers, inFlight: null };
    }
    const hasFailed = (packet.reasonCode ?? 0) >= 0x80;
    if (packet.cmd !== 'pubrec' || hasFailed) flight.delete(id);
    else {
      if (known !== undefined) known.isReleased = true;
      answers.push(`pubrel ${id} ${known !== undefined || version < 5 ? 0 : REASON.packetIdentifierNotFound}`);
    }
  }
  return { answers, inFlight: [...flight].map(([id, { level, isReleased }]) => `${id} ${level}${isReleased ? ' released' : ''}`) };
}

async function outcome(qos: readonly (1 | 2)[], acks: readonly Step[], version: Version, how: Cuts): Promise<Outcome> {
  const world = new World(1_000_000);
  const subscriber = world.client();
  await feed(subscriber.client, connect('subscriber', version), WHOLE);
  await settled();
  const filters = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 2 }] };
  await feed(subscriber.client, generate(filters as TheirPacket, version), WHOLE);
  await settled();
  const publisher = world.client();
  await feed(publisher.client, connect('publisher', version), WHOLE);
  await settled();
  const messages = qos.map((level, i) =>
    generate({ cmd: 'publish', topic: 'a', payload: String(i), qos: level, dup: false, retain: false, messageId: i + 1 }, version),
  );
  await feed(publisher.client, Buffer.concat(messages), WHOLE);
  await settled();
  const before = parse(subscriber.wire.sent, version);
  expect(before.flatMap((packet) => (packet.cmd === 'publish' ? packet.messageId : []))).toEqual(qos.map((_, i) => i + 1));
  await feed(subscriber.client, Buffer.concat(acks.map((step) => encode(step, version))), how);
  await settled();
  expect(world.faults).toEqual([]);
  const inFlight = subscriber.client.session?.inflight.inOrder() ?? null;
  return {
    inFlight: inFlight === null ? null : inFlight.map((one) => `${one.packetId} ${one.qos}${one.isReleased ? ' released' : ''}`),
    answers: parse(subscriber.wire.sent, version).slice(before.length).map(answerOf),
  };
}

for (const version of [3, 4, 5] as const) {
  test(`version ${version}: whole, byte by byte and in random chunks`, async () => {
    const check = inTime(15_000, async (qos: (1 | 2)[], wishes: Step[], how: Cuts) => {
      const acks = settle(qos, wishes);
      const wanted = expected(qos, acks, version);
      for (const each of [WHOLE, BYTES, how]) expect(await outcome(qos, acks, version, each)).toEqual(wanted);
    });
    await fc.assert(fc.asyncProperty(levels, steps, cuts, check), { numRuns: 60 });
  });
}
