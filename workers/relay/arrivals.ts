/** Messages of other nodes: routed to the interested workers of this node, and taken when these have them, on disk where durable. */

import { Fifo } from '../../src/kernel/fifo.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { WorkerRole } from '../../src/thread/commands.ts';
import type { Message } from '../shared/messages/message.ts';
import type { Run } from '../shared/messages/run.ts';
import { topicOfRun } from '../shared/messages/run.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import { INTEREST, type Peer, type PeerPublish } from '../shared/routing/peer.ts';
import type { ShareGroup } from '../shared/routing/share-group.ts';
import { deliveryKey } from '../shared/session/flight/delivery.ts';
import { mixed } from './packets.ts';

/** A worker of this node. */
export interface LocalPeer extends Peer {
  readonly role: WorkerRole;
}

/** A packet that is not taken yet. */
export interface Arrival {
  /** records of the packet that are not stored yet, and 1 while the packet is read */
  open: number;
}

/** Shared groups without a member here. */
export type OnOrphans = (namespace: string, record: PeerPublish, groups: readonly string[]) => void;

export interface ArrivalsOptions {
  namespace(name: string): Namespace;
  /** The session worker, which keeps retained messages; null while it is away. */
  keeper(): LocalPeer | null;
  /** An arrival may be taken now. */
  onClosed(): void;
  /** The worker has ended before it reported that the durable members of these groups have the QoS 1 message: another member gets it. */
  giveOn(worker: LocalPeer, namespace: string, message: Message, groups: readonly string[]): void;
  logger: Logger;
}

/** A message for durable members of a worker, which are to store it. */
interface Keeping {
  readonly arrival: Arrival;
  readonly namespace: string;
  readonly message: Message;
  readonly groups: readonly string[];
}

export class Arrivals {
  readonly #options: ArrivalsOptions;
  /** packets that wait for the session worker's answers, which come in order */
  readonly #storing = new Fifo<Arrival>();
  /** peer → message → packets with the message for durable members of a group, in order */
  readonly #keeping = new Map<Peer, Map<string, Keeping[]>>();
  #turn = 0;
  /** messages that a worker got */
  delivered = 0;
  /** QoS 0 messages dropped because a worker is behind */
  dropped = 0;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  publish(name: string, record: PeerPublish, arrival: Arrival, onOrphans: OnOrphans): void {
    const { message } = record;
    const entry = this.#options.namespace(name).entry(message.topic);
    const wanted = message.qos > 0 ? INTEREST.queued | INTEREST.durable : INTEREST.live;
    const groupsOf = record.groups === null ? null : this.#chosen(name, entry.groups, record, onOrphans);
    let keeper: Peer | null = message.retain && !message.isGivenOn ? this.#options.keeper() : null;
    for (const { peer, flags } of entry.peers) {
      const toSubscribers = record.toSubscribers && (flags & wanted) !== 0;
      const groups = groupsOf?.get(peer) ?? null;
      groupsOf?.delete(peer);
      const isKept = peer === keeper;
      if (isKept) keeper = null;
      if (toSubscribers || groups !== null || isKept) this.#send(peer as LocalPeer, name, record, toSubscribers, groups, flags, arrival);
    }
    for (const [peer, groups] of groupsOf ?? []) {
      if (peer === keeper) keeper = null;
      this.#send(peer as LocalPeer, name, record, false, groups, 0, arrival);
    }
    if (keeper !== null) this.#send(keeper as LocalPeer, name, record, false, null, 0, arrival);
  }

  publishRun(name: string, run: Run): void {
    const { peers } = this.#options.namespace(name).entry(topicOfRun(run));
    for (const { peer, flags } of peers) {
      if ((flags & INTEREST.live) === 0) continue;
      if (peer.isOverloaded) this.dropped += run.count;
      else {
        this.delivered += run.count;
        peer.publishRun(name, run);
      }
    }
  }

  /** A worker for each group; the same one when the message comes again. */
  #chosen(name: string, known: readonly ShareGroup[], record: PeerPublish, onOrphans: OnOrphans): Map<Peer, ShareGroup[]> {
    const { message } = record;
    const at = message.qos > 0 ? mixed(message.serial ^ message.source) : this.#turn++;
    const chosen = new Map<Peer, ShareGroup[]>();
    const orphans: string[] = [];
    for (const id of record.groups ?? []) {
      const group = known.find((each) => each.id === id);
      const peer = group?.choosePeer(at, null) ?? null;
      if (group === undefined || peer === null) orphans.push(id);
      else chosen.set(peer, [...(chosen.get(peer) ?? []), group]);
    }
    if (orphans.length > 0) onOrphans(name, record, orphans);
    return chosen;
  }

  #send(
    peer: LocalPeer,
    namespace: string,
    { message }: PeerPublish,
    toSubscribers: boolean,
    groups: readonly ShareGroup[] | null,
    flags: number,
    arrival: Arrival,
  ): void {
    if (peer.isOverloaded && message.qos === 0) {
      this.dropped++;
      return;
    }
    this.delivered++;
    const isDurable = (flags & INTEREST.durable) !== 0 && toSubscribers;
    const isDurableGroup = groups?.some((group) => (group.remote.get(peer)?.durable ?? 0) > 0) ?? false;
    const store = message.qos > 0 && (peer.role === 'session' ? isDurable || groups !== null || message.retain : isDurableGroup);
    const ids = groups?.map(({ id }) => id) ?? null;
    if (store) this.#await(peer, { arrival, namespace, message, groups: ids ?? [] });
    peer.publish(namespace, { message, toSubscribers, groups: ids, store });
  }

  #await(peer: LocalPeer, keeping: Keeping): void {
    keeping.arrival.open++;
    if (peer.role === 'session') {
      this.#storing.push(keeping.arrival);
      return;
    }
    // Threads of different nodes give the same serials, so the key has the source.
    const name = deliveryKey(keeping.message, null);
    const byMessage = this.#keeping.get(peer) ?? new Map<string, Keeping[]>();
    this.#keeping.set(peer, byMessage);
    byMessage.set(name, [...(byMessage.get(name) ?? []), keeping]);
  }

  /** The session worker has so many further records on disk. */
  stored(count: number): void {
    for (let left = count; left > 0; left--) this.#closed(this.#storing.shift());
  }

  /** The durable members of an endpoint worker have the message on disk. */
  kept(peer: Peer, message: { readonly source: number; readonly serial: number }): void {
    const name = deliveryKey(message, null);
    const byMessage = this.#keeping.get(peer);
    const waiting = byMessage?.get(name);
    this.#closed(waiting?.shift()?.arrival);
    if (waiting?.length === 0) byMessage?.delete(name);
  }

  #closed(arrival: Arrival | undefined): void {
    if (arrival === undefined) return;
    arrival.open--;
    if (arrival.open === 0) this.#options.onClosed();
  }

  /** A worker has ended. Messages that the session worker had not stored come again over new sessions of the links. */
  peerRemoved(peer: LocalPeer): void {
    if (peer.role === 'session') this.#storing.clear();
    const byMessage = this.#keeping.get(peer);
    this.#keeping.delete(peer);
    for (const { arrival, namespace, message, groups } of [...(byMessage?.values() ?? [])].flat()) {
      // A QoS 2 message may be on disk, or with its client: no other client may get it [MQTT-4.8.2-4].
      if (message.qos === 1) this.#options.giveOn(peer, namespace, message, groups);
      this.#closed(arrival);
    }
  }
}
