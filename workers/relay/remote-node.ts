/** Messages to one other node, in order, kept until the node has taken them. An absent node gets them later, as far as `hold` allows. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { Message } from '../shared/messages/message.ts';
import type { Run } from '../shared/messages/run.ts';
import type { Peer, PeerPublish } from '../shared/routing/peer.ts';
import { type BatchPart, BatchReader, BatchWriter } from '../shared/wire/records.ts';
import type { Departure, Ledger } from './kept/ledger.ts';
import {
  BATCH_HEAD_BYTES,
  encodeControls,
  encodeSettlements,
  hashOf,
  LANE,
  LARGE_BYTES,
  LARGE_LANES,
  type NodeControl,
  type Settlement,
} from './packets.ts';

/** Bytes that may wait for a node that is up: two windows of a link. Above this limit QoS 0 messages to the node are dropped. */
const OVERLOAD_BYTES = 8 * 1024 * 1024;
/** Above this limit comparisons of retained messages are dropped, too: the next comparison, seconds later, repairs that. */
const COMPARE_BYTES = 4 * OVERLOAD_BYTES;
/** Cost of a message beside its payload and topic, bytes. */
const MESSAGE_BYTES = 100;

/** Limits of the messages kept for an absent node. */
export interface HoldLimits {
  readonly bytes: number;
  readonly messages: number;
}

/**
 * Why a message did not reach a node. `not_linked`, `slow`, `interrupted`: QoS 0 to a node that is away, is behind, or fell away with the
 * message on its way. `hold`: the node is away, and enough is kept for it. `gone`: it did not come back.
 */
export type LossReason = 'not_linked' | 'slow' | 'interrupted' | 'hold' | 'gone';

/** The rest of the relay, as a node calls it. */
export interface NodeHooks {
  /** Steady time, ms. */
  now(): number;
  /** See Links.write(). */
  write(lane: number, packet: Uint8Array): number | null;
  /** flush() is due at the end of the loop iteration. */
  touched(node: RemoteNode): void;
}

/** A wait for the packets up to `order`. */
interface Mark {
  readonly order: number;
  left: number;
  readonly resolve: () => void;
}

interface Packet {
  readonly lane: number;
  readonly order: number;
  readonly bytes: Buffer;
  readonly messages: number;
  /** shared groups get at least one of the messages */
  readonly isShared: boolean;
  readonly departures: readonly Departure[];
  isAwaited: boolean;
}

/** Small messages of one loop iteration. */
class OpenBatch {
  readonly lane: number;
  readonly writer: BatchWriter;
  departures: Departure[] = [];
  messages = 0;
  isShared = false;
  #takenBytes = 0;

  constructor(lane: number, floorOf: (source: number) => number) {
    this.lane = lane;
    this.writer = new BatchWriter({ floorOf, isWhole: true });
  }

  /** Bytes written after the last take(). */
  get bytes(): number {
    return this.writer.written - this.#takenBytes;
  }

  /** Takes the parts and leaves the batch empty. */
  take(): BatchPart[] {
    this.#takenBytes = this.writer.written;
    return this.writer.take();
  }
}

export class RemoteNode implements Peer {
  readonly id: number;
  readonly name: string;
  readonly isKnown = true;
  readonly #hold: HoldLimits;
  readonly #ledger: Ledger;
  readonly #hooks: NodeHooks;
  readonly #once: OpenBatch;
  readonly #queued: OpenBatch;
  #controls: NodeControl[] = [];
  #settlements: Settlement[] = [];
  #unsent = new Fifo<Packet>();
  /** lane → packets that the link has, in order */
  readonly #sent = new Map<number, Fifo<Packet>>();
  /** lanes for large messages → packets in them */
  readonly #busy = new Map<number, number>();
  #order = 0;
  /** waits of whenTaken() */
  #marks: Mark[] = [];
  #bytes = 0;
  #messages = 0;
  #isUp = false;
  #isAwaited = false;
  readonly lost: Record<LossReason, number> = { not_linked: 0, slow: 0, interrupted: 0, hold: 0, gone: 0 };
  /** number of messages that the node has taken */
  delivered = 0;

  constructor(id: number, name: string, hold: HoldLimits, ledger: Ledger, hooks: NodeHooks) {
    this.id = id;
    this.name = name;
    this.#hold = hold;
    this.#ledger = ledger;
    this.#hooks = hooks;
    const floorOf = (source: number) => ledger.floorOf(source);
    this.#once = new OpenBatch(LANE.once, floorOf);
    this.#queued = new OpenBatch(LANE.queued, floorOf);
  }

  /** A session of the link is up. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Publishers and subscribers wait for it. */
  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  get isOverloaded(): boolean {
    return this.waitingBytes > OVERLOAD_BYTES;
  }

  /** Number of messages that the node has not taken. */
  get waiting(): number {
    return this.#messages + this.#once.messages + this.#queued.messages;
  }

  /** Bytes of these messages. One loop iteration may bring many. */
  get waitingBytes(): number {
    return this.#bytes + this.#once.bytes + this.#queued.bytes;
  }

  publish(namespace: string, record: PeerPublish): void {
    this.send(namespace, record, null);
  }

  /**
   * @param departure of a QoS 1 or 2 message whose publisher waits
   * @returns false when the message is lost, and counted
   */
  send(namespace: string, record: PeerPublish, departure: Departure | null): boolean {
    const { message } = record;
    const refusal = this.#refusal(message.qos === 0, message.size + MESSAGE_BYTES);
    if (refusal !== null) {
      this.lost[refusal]++;
      return false;
    }
    const batch = message.qos === 0 ? this.#once : this.#queued;
    const lane = this.#laneOf(message);
    if (lane === batch.lane) this.#add(batch, namespace, record, departure);
    else {
      // Messages published before stay before.
      this.#close(batch);
      const alone = new OpenBatch(lane, (source) => this.#ledger.floorOf(source));
      this.#add(alone, namespace, record, departure);
      this.#close(alone);
    }
    this.#hooks.touched(this);
    return true;
  }

  publishRun(namespace: string, run: Run): void {
    const refusal = this.#refusal(true, run.end - run.start);
    if (refusal !== null) {
      this.lost[refusal] += run.count;
      return;
    }
    this.#once.writer.run(namespace, run);
    this.#once.messages += run.count;
    this.#hooks.touched(this);
  }

  #refusal(isOnce: boolean, bytes: number): LossReason | null {
    if (isOnce) {
      if (!this.#isUp) return 'not_linked';
      return this.isOverloaded ? 'slow' : null;
    }
    if (this.#isAwaited) return null;
    const isFull = this.waitingBytes + bytes > this.#hold.bytes || this.waiting >= this.#hold.messages;
    return isFull ? 'hold' : null;
  }

  #add(batch: OpenBatch, namespace: string, record: PeerPublish, departure: Departure | null): void {
    if (departure !== null) {
      departure.open++;
      if (this.#isAwaited) departure.awaited++;
      batch.departures.push(departure);
    }
    batch.writer.publish(namespace, record);
    batch.messages++;
    if (record.groups !== null) batch.isShared = true;
  }

  /** Large messages go by topic, and so do small ones behind them: messages of one topic keep their order. */
  #laneOf({ size, topic, qos }: Message): number {
    const isLarge = size >= LARGE_BYTES;
    if (!isLarge && this.#busy.size === 0) return qos === 0 ? LANE.once : LANE.queued;
    const lane = (qos === 0 ? LANE.largeOnce : LANE.largeQueued) + (hashOf(topic) % LARGE_LANES);
    if (isLarge || this.#busy.has(lane)) return lane;
    return qos === 0 ? LANE.once : LANE.queued;
  }

  /** The batch becomes packets. */
  #close(batch: OpenBatch): void {
    const parts = batch.take();
    for (const [at, part] of parts.entries()) {
      const isLast = at === parts.length - 1;
      const bytes = Buffer.allocUnsafeSlow(BATCH_HEAD_BYTES + part.used);
      bytes.set(new Uint8Array(part.buffer, 0, part.used), BATCH_HEAD_BYTES);
      // The last part stands for all, because parts of a lane are taken in order.
      this.#push(batch.lane, bytes, isLast ? batch.messages : 0, isLast ? batch.departures : [], batch.isShared);
    }
    if (parts.length === 0) return;
    batch.departures = [];
    batch.messages = 0;
    batch.isShared = false;
  }

  #push(lane: number, bytes: Buffer, messages: number, departures: readonly Departure[], isShared = false): void {
    const packet: Packet = { lane, order: ++this.#order, bytes, messages, isShared, departures, isAwaited: this.#isAwaited };
    this.#unsent.push(packet);
    this.#bytes += bytes.length;
    this.#messages += messages;
    if (lane >= LANE.largeQueued) this.#busy.set(lane, (this.#busy.get(lane) ?? 0) + 1);
  }

  control(control: NodeControl): void {
    if (!this.#isUp) return;
    this.#controls.push(control);
    this.#hooks.touched(this);
  }

  /** Reports messages of the node's shared subscriptions. The report survives the session of the link. */
  report(settlement: Settlement): void {
    this.#settlements.push(settlement);
    this.#hooks.touched(this);
  }

  #closeReports(): void {
    if (this.#settlements.length === 0) return;
    this.#push(LANE.settled, encodeSettlements(this.#settlements), 0, []);
    this.#settlements = [];
  }

  /** Sends a part of the comparison of retained messages. The part is lost with the session of the link; the next session compares anew. */
  compare(frame: Uint8Array): void {
    if (!this.#isUp || this.waitingBytes > COMPARE_BYTES) return;
    const bytes = Buffer.allocUnsafeSlow(BATCH_HEAD_BYTES + frame.length);
    bytes.set(frame, BATCH_HEAD_BYTES);
    this.#push(LANE.retained, bytes, 0, []);
    this.#hooks.touched(this);
  }

  /** Gives the link as many packets as it has room for. */
  flush(): void {
    this.#close(this.#once);
    this.#close(this.#queued);
    this.#closeReports();
    if (!this.#isUp) return;
    if (this.#controls.length > 0) {
      if (this.#hooks.write(LANE.controls, encodeControls(this.#controls)) === null) return;
      this.#controls = [];
    }
    for (let next = this.#unsent.peek(); next !== undefined; next = this.#unsent.peek()) {
      next.bytes.writeDoubleLE(this.#hooks.now(), 0);
      const room = this.#hooks.write(next.lane, next.bytes);
      if (room === null) return;
      this.#unsent.shift();
      const sent = this.#sent.get(next.lane);
      if (sent !== undefined) sent.push(next);
      else {
        const first = new Fifo<Packet>();
        first.push(next);
        this.#sent.set(next.lane, first);
      }
      if (room <= 0) return;
    }
  }

  acked(lane: number, count: number): void {
    if (lane === LANE.controls) return;
    const sent = this.#sent.get(lane);
    for (let left = count; left > 0; left--) {
      const packet = sent?.shift();
      if (packet === undefined) return;
      this.delivered += packet.messages;
      this.#drop(packet);
    }
    this.#hooks.touched(this);
  }

  /** Resolves when the node has taken everything sent so far, or is no longer awaited; null: it has taken everything. */
  whenTaken(): Promise<void> | null {
    this.#close(this.#once);
    this.#close(this.#queued);
    this.#hooks.touched(this);
    const left = [...this.#packets()].length;
    if (left === 0 || !this.#isAwaited) return null;
    return new Promise((resolve) => this.#marks.push({ order: this.#order, left, resolve }));
  }

  #passMarks(order: number): void {
    for (const mark of this.#marks) if (order <= mark.order && --mark.left === 0) mark.resolve();
    this.#marks = this.#marks.filter(({ left }) => left > 0);
  }

  /** Forgets a packet that is taken or lost. */
  #drop(packet: Packet): void {
    if (this.#marks.length > 0) this.#passMarks(packet.order);
    this.#bytes -= packet.bytes.length;
    this.#messages -= packet.messages;
    this.#release(packet);
    for (const departure of packet.departures) departure.open--;
    if (packet.lane < LANE.largeQueued) return;
    const left = (this.#busy.get(packet.lane) ?? 1) - 1;
    if (left === 0) this.#busy.delete(packet.lane);
    else this.#busy.set(packet.lane, left);
  }

  #release(packet: Packet): void {
    if (!packet.isAwaited) return;
    packet.isAwaited = false;
    for (const departure of packet.departures) this.#ledger.release(departure);
  }

  /** A session has begun: everything that was not taken is sent again, except QoS 0 and comparisons. */
  up(): void {
    this.#isUp = true;
    this.#controls = [];
  }

  down(): void {
    this.#isUp = false;
    this.#controls = [];
    this.#close(this.#once);
    this.#close(this.#queued);
    const packets = [...this.#sent.values()].flatMap((sent) => [...sent]).sort((a, b) => a.order - b.order);
    packets.push(...this.#unsent);
    this.#sent.clear();
    this.#unsent = new Fifo();
    for (const packet of packets) {
      const { lane } = packet;
      if (lane !== LANE.once && lane !== LANE.retained && lane < LANE.largeOnce) this.#unsent.push(packet);
      else {
        this.lost.interrupted += packet.messages;
        this.#drop(packet);
      }
    }
  }

  /**
   * Takes messages of shared groups back that wait for the node. To be called while no session of the link is up.
   * @param isBack whether this message of this group is meant
   */
  withdraw(isBack: (message: Message, group: string) => boolean): void {
    const packets = [...this.#unsent];
    this.#unsent = new Fifo();
    for (const packet of packets) {
      const left = packet.isShared ? this.#without(packet, isBack) : packet;
      if (left === null) this.#drop(packet);
      else this.#unsent.push(left);
    }
  }

  /** The packet without these messages; null: none is left. */
  #without(packet: Packet, isBack: (message: Message, group: string) => boolean): Packet | null {
    const rest = new OpenBatch(packet.lane, (source) => this.#ledger.floorOf(source));
    let back = 0;
    new BatchReader(0).readAll(packet.bytes.subarray(BATCH_HEAD_BYTES), {
      onPublish: (namespace, record) => {
        const { message, toSubscribers } = record;
        const kept = record.groups?.filter((group) => !isBack(message, group)) ?? [];
        const groups = kept.length === 0 ? null : kept;
        if (groups === null && record.groups !== null && !toSubscribers && (!message.retain || message.isGivenOn)) back++;
        else this.#add(rest, namespace, { ...record, groups }, null);
      },
      onRun() {},
    });
    const [part] = rest.take();
    if (part === undefined) return null;
    const bytes = Buffer.allocUnsafeSlow(BATCH_HEAD_BYTES + part.used);
    bytes.set(new Uint8Array(part.buffer, 0, part.used), BATCH_HEAD_BYTES);
    const messages = Math.max(0, packet.messages - back);
    this.#bytes += bytes.length - packet.bytes.length;
    this.#messages += messages - packet.messages;
    return { ...packet, bytes, messages, isShared: rest.isShared };
  }

  /** Whether publishers wait for the node from now on. */
  await(isAwaited: boolean): void {
    if (this.#isAwaited === isAwaited) return;
    this.#close(this.#once);
    this.#close(this.#queued);
    this.#isAwaited = isAwaited;
    if (isAwaited) return;
    for (const { resolve } of this.#marks.splice(0)) resolve();
    for (const packet of this.#packets()) this.#release(packet);
  }

  /** The node does not come back: the messages kept for it are lost. */
  forget(): void {
    this.await(false);
    this.#isUp = false;
    this.lost.gone += this.#messages;
    for (const packet of [...this.#packets()]) this.#drop(packet);
    this.#sent.clear();
    this.#unsent = new Fifo();
  }

  *#packets(): IterableIterator<Packet> {
    for (const sent of this.#sent.values()) yield* sent;
    yield* this.#unsent;
  }
}
