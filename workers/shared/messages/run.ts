/** Consecutive QoS 0 packets of one topic as bytes: divided into packets and messages, and encoded for the other protocol version. */

import { decodePublish } from '../../../src/mqtt/decode.ts';
import { publishSize, writePublish } from '../../../src/mqtt/encode-publish.ts';
import { readRemainingLength, remainingLengthSize } from '../../../src/mqtt/framer.ts';
import { EMPTY, Message } from './message.ts';

/** Consecutive QoS 0 packets of one topic in the bytes of one protocol version. The bytes never change again. */
export interface Run {
  buf: Buffer;
  start: number;
  end: number;
  /** packets in the run */
  count: number;
  /** 4: bytes for MQTT 3.x clients, 5: for MQTT 5 */
  version: 4 | 5;
  /** the same run for the other version; made on first use */
  other: Buffer | null;
  /** session key of the publisher */
  from: string;
}

/** The offset behind the packet that begins at `at`. */
function packetEnd({ buf, end }: Run, at: number): number {
  const low = buf[at + 1]!;
  if (low < 0x80) return at + 2 + low;
  const remaining = readRemainingLength(buf, at + 1, end);
  return at + 1 + remainingLengthSize(remaining) + remaining;
}

/** The topic of a run, latin1 form. */
export function topicOfRun(run: Run): string {
  const { start, end } = firstTopic(run);
  return run.buf.latin1Slice(start, end);
}

/** A run of one packet, to be filled by nextPacket(). */
export function beforeFirst(run: Run): Run {
  return { ...run, end: run.start, count: 1, other: null };
}

/** Moves `part` to the next packet of `run`. @returns false behind the last one */
export function nextPacket(run: Run, part: Run): boolean {
  if (part.end >= run.end) return false;
  part.start = part.end;
  part.end = packetEnd(run, part.start);
  part.other = null;
  return true;
}

/** The packets of a run as messages. */
export function splitRun(topic: string, run: Run): Message[] {
  const messages: Message[] = [];
  let at = run.start;
  while (at < run.end) {
    const end = packetEnd(run, at);
    const packet = decodePublish(run.buf, at, end, run.version);
    messages.push(new Message(topic, packet.payload, 0, false, packet.properties?.forward ?? EMPTY, 0, run.from));
    at = end;
  }
  return messages;
}

/** The bytes of a run in the other protocol version: without properties, or with an empty property block. Made once for each run. */
export function runFor(run: Run, version: 4 | 5): { buf: Buffer; start: number; end: number } {
  if (run.version === version) return run;
  run.other ??= convertRun(run, version);
  return { buf: run.other, start: 0, end: run.other.length };
}

function convertRun(run: Run, version: 4 | 5): Buffer {
  const messages = splitRun('', run);
  const topic = firstTopic(run);
  const topicBytes = run.buf.subarray(topic.start, topic.end);
  const encodings = messages.map((message) => ({
    version,
    qos: 0 as const,
    retain: false,
    dup: false,
    packetId: 0,
    topic: topicBytes,
    payload: message.payload,
    topicAlias: 0,
    messageExpiryInterval: -1,
    subscriptionIdentifiers: [],
    forward: EMPTY,
  }));
  const bytes = Buffer.allocUnsafeSlow(encodings.reduce((sum, encoding) => sum + publishSize(encoding), 0));
  let at = 0;
  for (const encoding of encodings) at = writePublish(bytes, at, encoding);
  return bytes;
}

/** The place of the topic in the first packet; all packets of a run have the same topic. */
function firstTopic({ buf, start, end }: Run): { start: number; end: number } {
  const at = start + 1 + remainingLengthSize(readRemainingLength(buf, start + 1, end)) + 2;
  return { start: at, end: at + buf.readUInt16BE(at - 2) };
}
