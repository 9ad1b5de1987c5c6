/** Messages of shared subscriptions whose chosen place has lost its members: chooses another place, on this node or elsewhere. */

import { fromWireMessage, type Message, SOURCES_PER_NODE, toWireMessage } from '../shared/messages/message.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import type { Peer, PeerPublish } from '../shared/routing/peer.ts';
import { groupOf } from '../shared/routing/share-group.ts';
import type { Control } from '../shared/wire/controls.ts';
import type { GatewayOptions, Worker } from './contract.ts';
import { SLACK } from './ledger.ts';
import { mixed, type NodeControl } from './packets.ts';
import type { RemoteInterest } from './remote-interest.ts';
import type { RemoteNode } from './remote-node.ts';

export class Bounces {
  readonly #options: GatewayOptions;
  readonly #interest: RemoteInterest;
  readonly #nodeOf: (name: string) => RemoteNode | null;
  /** source of the messages that the relay numbers anew: receivers drop numbers that they have had */
  readonly #source: number;
  #serial = 0;
  /** messages whose group has no member left on any node */
  lost = 0;

  constructor(options: GatewayOptions, interest: RemoteInterest, nodeOf: (name: string) => RemoteNode | null) {
    this.#options = options;
    this.#interest = interest;
    this.#nodeOf = nodeOf;
    this.#source = options.incarnation * SOURCES_PER_NODE + options.self;
  }

  floorOf(source: number): number | null {
    return source === this.#source ? this.#serial - SLACK : null;
  }

  /** A node with members of the group. @param at see ShareGroup.choosePeer */
  choose(namespace: Namespace, id: string, at: number, exclude: RemoteNode | null): RemoteNode | null {
    const { filter, name } = groupOf(id);
    return (namespace.findGroup(filter, name)?.choosePeer(at, exclude) ?? null) as RemoteNode | null;
  }

  toWorker(worker: Worker, namespace: string, group: string, message: Message): void {
    worker.control({ t: 'bounce', namespace, group, message: toWireMessage(message) });
  }

  /** A message of another node has groups without a member here: that node chooses again. */
  orphans(node: RemoteNode, namespace: string, { message }: PeerPublish, groups: readonly string[]): void {
    for (const group of groups) node.control({ t: 'bounce', namespace, group, message: toWireMessage(message) });
  }

  /** A worker has no member for a message of another node. */
  fromWorker(worker: Worker, { namespace, group, message: wire }: Extract<Control, { t: 'bounce' }>): void {
    const message = this.#renumbered(fromWireMessage(wire));
    const { filter, name } = groupOf(group);
    const peer =
      this.#options.local
        .namespace(namespace)
        .findGroup(filter, name)
        ?.choosePeer(this.#at(), worker as Peer) ?? null;
    if (peer === null) this.lost++;
    else peer.publish(namespace, { message, toSubscribers: false, groups: [group], store: false });
  }

  /** The chosen node has no member: another node gets the message, or the worker that chose the relay. */
  fromNode(node: RemoteNode, { namespace, group, message: wire }: Extract<NodeControl, { t: 'bounce' }>): void {
    const other = this.choose(this.#interest.namespace(namespace), group, this.#at(), this.#nodeOf(node.name));
    const message = fromWireMessage(wire);
    const worker = this.#options.local.links.get(message.source % SOURCES_PER_NODE);
    if (other !== null) {
      message.source = this.#options.self;
      message.serial = ++this.#serial;
      message.isGivenOn = true;
      other.send(namespace, { message, toSubscribers: false, groups: [group], store: false }, null);
    } else if (worker === undefined) this.lost++;
    else this.toWorker(worker, namespace, group, message);
  }

  #at(): number {
    return mixed(this.#serial + 1);
  }

  #renumbered(message: Message): Message {
    message.source = this.#source;
    message.serial = ++this.#serial;
    message.isGivenOn = true;
    return message;
  }
}
