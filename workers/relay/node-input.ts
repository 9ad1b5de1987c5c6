/** Packets from one other node: its interest, and its messages, each taken when the workers of this node have it. */

import { messageOf } from '../../src/kernel/errors.ts';
import { Fifo } from '../../src/kernel/fifo.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import { SOURCES_PER_NODE } from '../shared/messages/message.ts';
import type { PeerPublish } from '../shared/routing/peer.ts';
import type { SharedName } from '../shared/routing/shared-reports.ts';
import type { InterestNews } from '../shared/wire/controls.ts';
import type { IdentifierNews } from '../shared/wire/identifier-news.ts';
import { BatchReader, type RecordSink } from '../shared/wire/records.ts';
import type { Arrival, Arrivals, OnOrphans } from './arrivals.ts';
import { TakenMessages } from './kept/taken.ts';
import { BATCH_HEAD_BYTES, decodeControls, decodeSettlements, LANE, type NodeControl, type Settlement } from './packets.ts';
import type { RemoteNode } from './remote-node.ts';

export interface NodeInputHooks {
  /** Steady time, ms. */
  now(): number;
  /** Packets up to this number are taken. */
  take(upTo: number): void;
  /** settle() is due at the end of the loop iteration. */
  touched(incoming: NodeInput): void;
  /** `lost`: the session worker is away, and packets are ignored; `behind`: this node's workers are overloaded, and packets wait; null: neither. */
  readonly isBusy: 'lost' | 'behind' | null;
  /** See BatchForm.floorOf, for messages on their way to the workers. */
  raise(source: number, floor: number): void;
  /** The interest of the node has changed. Filters not named between onBegin() and onEnd() are retracted. Resolves when the workers know. */
  onNews(node: RemoteNode, news: readonly InterestNews[]): Promise<void>;
  onBegin(node: RemoteNode, relay: number | undefined): void;
  onEnd(node: RemoteNode): Promise<void>;
  onKnown(node: RemoteNode, request: number): void;
  /** A part of the comparison of retained messages. @param clockShift see BatchReader */
  onCompare(node: RemoteNode, frame: Uint8Array, clockShift: number): void;
  onSettled(node: RemoteNode, settlements: readonly Settlement[]): void;
  onName(node: RemoteNode, request: number, names: readonly SharedName[]): void;
  onNamed(node: RemoteNode, request: number): void;
  onBounce(node: RemoteNode, bounce: Extract<NodeControl, { t: 'bounce' }>): void;
  onFlush(node: RemoteNode, request: number, to: string): void;
  onFlushed(node: RemoteNode, request: number): void;
  /** For the session worker. */
  onIdentifiers(node: RemoteNode, news: IdentifierNews): void;
  onOrphans(node: RemoteNode, ...orphans: Parameters<OnOrphans>): void;
}

interface Queued extends Arrival {
  readonly number: number;
  readonly bytes: number;
  /** see TakenMessages.took() */
  readonly keys: number[];
}

export class NodeInput {
  readonly node: RemoteNode;
  readonly #arrivals: Arrivals;
  readonly #hooks: NodeInputHooks;
  readonly #logger: Logger;
  /** packets in the order in which they came */
  readonly #queue = new Fifo<Queued>();
  #reader = new BatchReader(0);
  #arrival: Queued = { number: 0, open: 0, bytes: 0, keys: [] };
  readonly #taken = new TakenMessages();
  /** the answers to the node's interest go out in order */
  #answered: Promise<void> = Promise.resolve();
  /** sessions of the link since the start */
  #session = 0;
  /** packets that could not be read */
  invalid = 0;
  readonly #sink: RecordSink = {
    onPublish: (namespace, record) => this.#publish(namespace, record),
    onRun: (namespace, run) => this.#arrivals.publishRun(namespace, run),
    onSource: (source, floor) => this.#hooks.raise(source, floor),
  };
  readonly #onOrphans: OnOrphans = (namespace: string, record: PeerPublish, groups: readonly string[]) =>
    this.#hooks.onOrphans(this.node, namespace, record, groups);

  constructor(node: RemoteNode, arrivals: Arrivals, hooks: NodeInputHooks, logger: Logger) {
    this.node = node;
    this.#arrivals = arrivals;
    this.#hooks = hooks;
    this.#logger = logger;
  }

  /** A session of the link begins. */
  begin(incarnation: number): void {
    this.#session++;
    this.#queue.clear();
    this.#reader = new BatchReader(0, incarnation * SOURCES_PER_NODE);
    this.#taken.begin(incarnation);
  }

  end(): void {
    this.#session++;
    this.#queue.clear();
  }

  /** See LinkUser.deliver. */
  deliver(lane: number, packet: Uint8Array, number: number): void {
    // The packet is not taken, so it comes again over a new session of the link.
    if (this.#hooks.isBusy === 'lost') return;
    const arrival: Queued = { number, open: 1, bytes: packet.byteLength, keys: [] };
    this.#arrival = arrival;
    this.#queue.push(arrival);
    try {
      if (lane === LANE.controls) for (const control of decodeControls(packet)) this.#control(control);
      else if (lane === LANE.retained) this.#compare(packet);
      else if (lane === LANE.settled) this.#hooks.onSettled(this.node, decodeSettlements(packet));
      else this.#read(packet);
    } catch (error) {
      this.invalid++;
      this.#logger.error(`Cluster: a packet of node ${this.node.name} cannot be read`, { reason: messageOf(error) });
    }
    arrival.open--;
    this.#hooks.touched(this);
  }

  #read(packet: Uint8Array): void {
    const batch = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
    this.#reader.clockShift = this.#hooks.now() - batch.readDoubleLE(0);
    this.#reader.readAll(batch.subarray(BATCH_HEAD_BYTES), this.#sink);
  }

  #publish(namespace: string, record: PeerPublish): void {
    const { source, serial, qos } = record.message;
    // A message for shared groups comes again: its bounce, when the groups have no member here, may have been lost with the session.
    if (qos > 0 && record.groups === null) {
      this.#arrival.keys.push(source, serial);
      if (this.#taken.isRepeat(source, serial)) return;
    }
    this.#arrivals.publish(namespace, record, this.#arrival, this.#onOrphans);
  }

  #compare(packet: Uint8Array): void {
    // A copy, because the packet is a view of the link's buffer.
    const frame = Uint8Array.prototype.slice.call(packet, BATCH_HEAD_BYTES);
    const sentAt = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength).readDoubleLE(0);
    this.#hooks.onCompare(this.node, frame, this.#hooks.now() - sentAt);
  }

  #control(control: NodeControl): void {
    const { node } = this;
    switch (control.t) {
      case 'begin':
        this.#hooks.onBegin(node, control.relay);
        return;
      case 'news':
        this.#answer(control.request, this.#hooks.onNews(node, control.news));
        return;
      case 'end':
        this.#answer(control.request, this.#hooks.onEnd(node));
        return;
      case 'known':
        this.#hooks.onKnown(node, control.request);
        return;
      case 'name':
        this.#hooks.onName(node, control.request, control.names);
        return;
      case 'named':
        this.#hooks.onNamed(node, control.request);
        return;
      case 'bounce':
        this.#hooks.onBounce(node, control);
        return;
      case 'flush':
        this.#hooks.onFlush(node, control.request, control.to);
        return;
      case 'flushed':
        this.#hooks.onFlushed(node, control.request);
        return;
      case 'identifiers':
        this.#hooks.onIdentifiers(node, control.news);
        return;
      default:
        throw new Error(`the control ${(control as { t: unknown }).t} is unknown`);
    }
  }

  #answer(request: number, known: Promise<void>): void {
    const session = this.#session;
    this.#answered = Promise.all([this.#answered, known]).then(() => {
      if (request > 0 && session === this.#session) this.node.control({ t: 'known', request });
    });
  }

  /** Takes the packets that the workers have. To be called after the posts to the workers. */
  settle(): void {
    if (this.#hooks.isBusy !== null) return;
    let upTo = 0;
    for (let next = this.#queue.peek(); next?.open === 0; next = this.#queue.peek()) {
      this.#queue.shift();
      this.#taken.took(next.bytes, next.keys);
      upTo = next.number;
    }
    if (upTo > 0) this.#hooks.take(upTo);
  }
}
