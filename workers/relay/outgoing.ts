/** Messages of this node's workers on their way out: which nodes get each of them. */

import type { Run } from '../shared/messages/run.ts';
import { topicOfRun } from '../shared/messages/run.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import { INTEREST, type PeerPublish } from '../shared/routing/peer.ts';
import type { Bounces } from './bounces.ts';
import type { Worker } from './contract.ts';
import { isOfNode } from './interest/interest-sum.ts';
import type { Departure, Ledger } from './kept/ledger.ts';
import { mixed } from './packets.ts';
import type { RemoteInterest } from './remote-interest.ts';
import type { RemoteNode } from './remote-node.ts';

export class Outgoing {
  readonly #members: ReadonlyMap<string, { readonly node: RemoteNode }>;
  readonly #interest: RemoteInterest;
  readonly #bounces: Bounces;
  readonly #ledger: Ledger;
  /** counts QoS 0 messages of shared subscriptions, whose members take turns */
  #turn = 0;

  constructor(members: ReadonlyMap<string, { readonly node: RemoteNode }>, interest: RemoteInterest, bounces: Bounces, ledger: Ledger) {
    this.#members = members;
    this.#interest = interest;
    this.#bounces = bounces;
    this.#ledger = ledger;
  }

  /** Sends a worker's message to the nodes that want it, and a retained message to all nodes, because each keeps it. */
  publish(worker: Worker, name: string, record: PeerPublish): void {
    const { message } = record;
    const departure = message.qos > 0 ? this.#ledger.begin(worker, message.serial) : null;
    if (!isOfNode(message.topic)) this.#send(worker, name, record, departure);
    if (departure !== null) this.#ledger.seal(departure);
  }

  #send(worker: Worker, name: string, record: PeerPublish, departure: Departure | null): void {
    const { message, toSubscribers } = record;
    const namespace = this.#interest.namespace(name);
    const entry = namespace.entry(message.topic);
    const groupsOf = record.groups === null ? null : this.#chosen(worker, namespace, name, record);
    const wanted = message.qos > 0 ? INTEREST.queued | INTEREST.durable : INTEREST.live;
    const served = message.retain && !message.isGivenOn ? new Set<RemoteNode>() : null;
    for (const { peer, flags } of entry.peers) {
      const node = peer as RemoteNode;
      const isWanted = toSubscribers && (flags & wanted) !== 0;
      const groups = groupsOf?.get(node) ?? null;
      groupsOf?.delete(node);
      if (!isWanted && groups === null) continue;
      served?.add(node);
      this.#sendTo(node, name, { message, toSubscribers: isWanted, groups, store: false }, departure);
    }
    for (const [node, groups] of groupsOf ?? []) {
      served?.add(node);
      this.#sendTo(node, name, { message, toSubscribers: false, groups, store: false }, departure);
    }
    if (served === null) return;
    const kept = { message, toSubscribers: false, groups: null, store: false };
    for (const { node } of this.#members.values()) if (node.isAwaited && !served.has(node)) node.send(name, kept, departure);
  }

  #sendTo(node: RemoteNode, name: string, record: PeerPublish, departure: Departure | null): void {
    if (node.send(name, record, departure) && record.groups !== null) this.#bounces.keep(node, name, record.groups, record.message);
  }

  /** A node for each group: the same one when the message comes again, because a new relay runs. */
  #chosen(worker: Worker, namespace: Namespace, name: string, { message, groups }: PeerPublish): Map<RemoteNode, string[]> {
    const at = message.qos > 0 ? mixed(message.serial) : this.#turn++;
    const chosen = new Map<RemoteNode, string[]>();
    for (const id of groups ?? []) {
      const node = this.#bounces.choose(namespace, id, at, null);
      if (node === null) this.#bounces.toWorker(worker, name, id, message);
      else chosen.set(node, [...(chosen.get(node) ?? []), id]);
    }
    return chosen;
  }

  /** Sends a run of QoS 0 packets to the nodes that want its topic. */
  publishRun(name: string, run: Run): void {
    const topic = topicOfRun(run);
    if (isOfNode(topic)) return;
    for (const { peer, flags } of this.#interest.namespace(name).entry(topic).peers)
      if ((flags & INTEREST.live) !== 0) peer.publishRun(name, run);
  }
}
