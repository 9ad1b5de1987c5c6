/** The topic of a client's last PUBLISH. The next one probably has the same topic, and a byte comparison is cheaper than any look-up. */

import { publishRightOf } from '../../../../src/endpoint/access/rules/publish-rights.ts';
import { SLOT } from '../../../../src/metrics/counters.ts';
import { readRemainingLength, remainingLengthSize } from '../../../../src/mqtt/framer.ts';
import type { ProtocolVersion } from '../../../../src/mqtt/packet.ts';
import { plainPropertiesEnd } from '../../../../src/mqtt/properties.ts';
import { isValidTopicBytes } from '../../../../src/mqtt/topic.ts';
import { EMPTY } from '../../../shared/messages/message.ts';
import type { TopicEntry } from '../../../shared/routing/topic-entry.ts';
import type { EndpointContext } from '../context/context.ts';
import type { Decisions } from '../context/decisions.ts';

/** Longer topics than this are not remembered. */
const REMEMBERED_MAX = 2048;

export class LastTopic {
  readonly #endpoint: EndpointContext;
  readonly #decisions: Decisions;
  #entry: TopicEntry | null = null;
  #bytes: Buffer = EMPTY;
  /** kinds of PUBLISH that the client may send to the topic */
  #rights = 0;
  /** version of the configuration that #rights is for; 0 = none */
  #rightsOf = 0;
  /** offsets in the last packet of find(): its packet identifier, if it has one, and its payload */
  idAt = 0;
  payloadStart = 0;

  constructor(endpoint: EndpointContext, decisions: Decisions) {
    this.#endpoint = endpoint;
    this.#decisions = decisions;
  }

  remember(entry: TopicEntry): void {
    // Every client would keep a huge last topic in memory: such topics are looked up each time.
    if (entry.topic.length > REMEMBERED_MAX) {
      this.#entry = null;
      this.#bytes = EMPTY;
      this.#rightsOf = 0;
      return;
    }
    this.#bytes = entry.bytes;
    this.#entry = entry;
    this.#rightsOf = 0;
  }

  /** Forgets the rights to the topic, because the client has others. */
  forget(): void {
    this.#rightsOf = 0;
  }

  /** Whether the client has the right to publish to this topic, which becomes the last topic. @param right one bit (publish-rights.ts) */
  mayPublish(entry: TopicEntry, right: number): boolean {
    if (this.#entry !== entry) this.remember(entry);
    return (this.#rightsTo(entry) & right) !== 0;
  }

  /**
   * The topic of the PUBLISH at buf[at, at + size), when the packet is plain and the client may publish it. Plain means: only
   * properties that pass unaltered, a packet identifier where one is due, and a valid topic name. Null: the slow path decides what is
   * wrong.
   */
  find(buf: Buffer, at: number, size: number, first: number, version: ProtocolVersion): TopicEntry | null {
    const end = at + size;
    let body = at + 2;
    if (buf[at + 1]! >= 0x80) body = at + 1 + remainingLengthSize(readRemainingLength(buf, at + 1, end));
    const start = body + 2;
    if (start > end) return null;
    const length = (buf[body]! << 8) | buf[body + 1]!;
    const topicEnd = start + length;
    let rest = topicEnd;
    if (first !== 0x30) {
      if (rest + 2 > end || (buf[rest] === 0 && buf[rest + 1] === 0)) return null;
      this.idAt = rest;
      rest += 2;
    }
    if (length === 0 || rest > end) return null;
    if (version === 5) {
      rest = plainPropertiesEnd(buf, rest, end);
      if (rest < 0) return null;
    }
    this.payloadStart = rest;
    let entry = this.#entry;
    if (entry === null || !sameBytes(this.#bytes, buf, start, length) || !this.#endpoint.namespace.isCurrent(entry)) {
      entry = this.#lookUp(buf, start, topicEnd);
      if (entry === null) return null;
    }
    return (this.#rightsTo(entry) & publishRightOf(first)) === 0 ? null : entry;
  }

  #lookUp(buf: Buffer, start: number, end: number): TopicEntry | null {
    const topic = buf.latin1Slice(start, end);
    const { namespace, slots } = this.#endpoint;
    let entry = namespace.known(topic);
    if (entry === undefined) {
      if (!isValidTopicBytes(buf, start, end)) return null;
      slots[SLOT.topicsPublished]!++;
      entry = namespace.entry(topic);
    }
    this.remember(entry);
    return entry;
  }

  #rightsTo(entry: TopicEntry): number {
    const { version } = this.#endpoint;
    if (this.#rightsOf !== version) {
      this.#rights = this.#decisions.publishRights(entry.topic);
      this.#rightsOf = version;
    }
    return this.#rights;
  }
}

function sameBytes(topic: Buffer, buf: Buffer, start: number, length: number): boolean {
  if (topic.length !== length) return false;
  // Topics of one client mostly differ at the end.
  for (let i = length - 1; i >= 0; i--) if (topic[i] !== buf[start + i]) return false;
  return true;
}
