/**
 * Messages of shared subscriptions whose chosen place has lost its members, or has died: chooses another place, on this node or elsewhere
 * (docs/internals/nodes.md, Shared subscriptions).
 */

import { fromWireMessage, Message, SOURCES_PER_NODE, toGivenOn } from '../shared/messages/message.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import type { Peer, PeerPublish } from '../shared/routing/peer.ts';
import { groupOf } from '../shared/routing/share-group.ts';
import type { Control } from '../shared/wire/controls.ts';
import type { GatewayOptions, Worker } from './contract.ts';
import { SLACK } from './kept/ledger.ts';
import { keyOf, type Unsettled, type UnsettledMessages } from './kept/unsettled.ts';
import type { NodeControl } from './packets.ts';
import type { RemoteInterest } from './remote-interest.ts';
import { RemoteNode } from './remote-node.ts';

/** Longest wait for a member of a group that has none, ms: as long as other nodes remember a node that has failed. */
const WAIT_MS = 3_600_000;

/** The place of a message whose group has no member that may get it. */
const NOWHERE: Peer = { id: -1, isKnown: false, isOverloaded: false, publish() {}, publishRun() {} };

/** The rest of the relay, as the bounces call it. */
export interface BouncesPorts {
  readonly interest: RemoteInterest;
  readonly unsettled: UnsettledMessages;
  nodeOf(incarnation: number): RemoteNode | null;
  /** Number of the present session of the link to a node that reports settlements; null: the node does not. */
  sessionOf(node: RemoteNode): number | null;
}

export class Bounces {
  readonly #options: GatewayOptions;
  readonly #ports: BouncesPorts;
  /** source of the messages that the relay numbers anew: receivers drop numbers that they have had */
  readonly #source: number;
  #serial = 0;
  /** counts choices among members */
  #turn = 0;
  /** own serial → message of another node that a worker of this node has got under this serial, until it is settled */
  readonly #aliases = new Map<number, { readonly source: number; readonly serial: number }>();
  /** messages whose group has no member left on any node */
  lost = 0;
  /** messages that another member has got because their place died */
  rerouted = 0;

  constructor(options: GatewayOptions, ports: BouncesPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#source = options.incarnation * SOURCES_PER_NODE + options.self;
  }

  floorOf(source: number): number | null {
    return source === this.#source ? this.#serial - SLACK : null;
  }

  /** See SettlementsOptions. */
  aliasOf(peer: number, serial: number, isOver: boolean): { readonly source: number; readonly serial: number } | null {
    if (peer !== this.#options.self) return null;
    const alias = this.#aliases.get(serial) ?? null;
    if (isOver) this.#aliases.delete(serial);
    return alias;
  }

  /** A node with members of the group. @param at see ShareGroup.choosePeer */
  choose(namespace: Namespace, id: string, at: number, exclude: RemoteNode | null): RemoteNode | null {
    const { filter, name } = groupOf(id);
    return (namespace.findGroup(filter, name)?.choosePeer(at, exclude) ?? null) as RemoteNode | null;
  }

  /** Keeps a QoS 1 or 2 message that goes to groups at a node until it is settled there. */
  keep(node: RemoteNode, namespace: string, groups: readonly string[], message: Message): void {
    const session = this.#ports.sessionOf(node);
    if (message.qos === 0 || session === null) return;
    const { source } = message;
    for (const group of groups) this.#ports.unsettled.keep(source % SOURCES_PER_NODE, { place: node, namespace, group, message, session });
  }

  toWorker(worker: Worker, namespace: string, group: string, message: Message): void {
    worker.control({ t: 'bounce', namespace, group, message: toGivenOn(message) });
  }

  /** A message of another node has groups without a member here: that node chooses again. */
  orphans(node: RemoteNode, namespace: string, { message }: PeerPublish, groups: readonly string[]): void {
    for (const group of groups) node.control({ t: 'bounce', namespace, group, message: toGivenOn(message) });
  }

  /** A worker has no member for a message of another node, or of this relay. */
  fromWorker(worker: Peer, { namespace, group, message: wire }: Omit<Extract<Control, { t: 'bounce' }>, 't'>): void {
    const { unsettled, nodeOf } = this.#ports;
    const isOwn = wire.source === this.#source;
    const origin = (isOwn && this.aliasOf(this.#options.self, wire.serial, true)) || wire;
    if (isOwn) unsettled.settled(this.#options.self, wire.serial, group);
    const message = fromWireMessage(wire);
    const { filter, name } = groupOf(group);
    const peer =
      this.#options.local
        .namespace(namespace)
        .findGroup(filter, name)
        ?.choosePeer(this.#turn++, worker) ?? null;
    if (peer !== null) {
      this.#toLocal(peer, namespace, group, message);
      if (origin.source !== this.#source) this.#aliases.set(this.#serial, { source: origin.source, serial: origin.serial });
      return;
    }
    const home = nodeOf(Math.floor(origin.source / SOURCES_PER_NODE));
    if (home !== null) {
      home.control({ t: 'bounce', namespace, group, message: { ...wire, source: origin.source, serial: origin.serial } });
      return;
    }
    const node = this.choose(this.#ports.interest.namespace(namespace), group, this.#turn++, null);
    if (node === null && isOwn) this.#strand(namespace, group, message);
    else if (node === null) this.lost++;
    else this.#toNode(node, namespace, group, message);
  }

  /** A worker has ended with a message of another node that its members of these groups had not stored. */
  fromDead(worker: Peer, namespace: string, message: Message, groups: readonly string[]): void {
    for (const group of groups) this.fromWorker(worker, { namespace, group, message: toGivenOn(message) });
  }

  /** The chosen node has no member: another node gets the message, or the worker that chose the relay. */
  fromNode(node: RemoteNode, { namespace, group, message: wire }: Extract<NodeControl, { t: 'bounce' }>): void {
    const message = fromWireMessage(wire);
    const peer = message.source % SOURCES_PER_NODE;
    this.#ports.unsettled.settled(peer, message.serial, group);
    const other = this.choose(this.#ports.interest.namespace(namespace), group, this.#turn++, node);
    const worker = this.#options.local.links.get(peer);
    if (other !== null) this.#toNode(other, namespace, group, message);
    else if (worker !== undefined) this.toWorker(worker, namespace, group, message);
    else {
      const { filter, name } = groupOf(group);
      const local =
        this.#options.local
          .namespace(namespace)
          .findGroup(filter, name)
          ?.choosePeer(this.#turn++, null) ?? null;
      if (local === null) this.#strand(namespace, group, message);
      else this.#toLocal(local, namespace, group, message);
    }
  }

  /** The group has no member for a message that this relay has given on: one that comes later gets it. */
  #strand(namespace: string, group: string, message: Message): void {
    this.#number(message, this.#options.self);
    const unsettled = { place: NOWHERE, namespace, group, message, session: this.#options.now() };
    this.#ports.unsettled.strand(this.#options.self, unsettled, message.from);
  }

  /**
   * Another member gets a message whose place has died.
   * @param exclude the place; null: it may have a new member
   * @returns false when the group has no other member now
   */
  giveOn({ namespace, group, message, client, place: former, session }: Unsettled, exclude: Peer | null): boolean {
    const now = this.#options.now();
    if (message.isExpired(now)) return true;
    if (former === NOWHERE && now - session > WAIT_MS) {
      this.lost++;
      return true;
    }
    const place = this.#placeFor(namespace, group, exclude);
    if (place === null) return false;
    const { topic, payload, qos, retain, forward, expiresAt } = message;
    // A client that may have a QoS 2 message does not get it again.
    const copy = new Message(topic, payload, qos, retain, forward, expiresAt, qos === 2 ? client : '');
    if (place instanceof RemoteNode) this.#toNode(place, namespace, group, copy);
    else this.#toLocal(place, namespace, group, copy);
    this.rerouted++;
    return true;
  }

  /** The next in turn: connected members of all places first, with `local` those of this node. */
  #placeFor(namespace: string, group: string, exclude: Peer | null): Peer | null {
    const { filter, name } = groupOf(group);
    const here = this.#options.local.namespace(namespace).findGroup(filter, name);
    const abroad = this.#ports.interest.namespace(namespace).findGroup(filter, name);
    const own = here?.connectedBut(exclude) ?? 0;
    const others = abroad?.connectedBut(exclude) ?? 0;
    const turn = this.#turn++;
    const at = own + others === 0 ? 0 : turn % (own + others);
    if (own > 0 && (at < own || this.#options.prefersOwnMembers)) return here!.choosePeer(turn, exclude);
    if (others > 0) return abroad!.choosePeer(turn, exclude);
    const away = here?.choosePeer(turn, exclude) ?? (abroad?.choosePeer(turn, exclude) as RemoteNode | null | undefined) ?? null;
    return away instanceof RemoteNode && !away.isAwaited ? null : away;
  }

  /** A worker of this node gets the message, and the relay keeps it until the worker reports that it is settled. */
  #toLocal(worker: Peer, namespace: string, group: string, message: Message): void {
    this.#number(message, this.#source);
    if (message.qos > 0) this.#ports.unsettled.keep(this.#options.self, { place: worker, namespace, group, message, session: 0 });
    worker.publish(namespace, { message, toSubscribers: false, groups: [group], store: false });
  }

  #toNode(node: RemoteNode, namespace: string, group: string, message: Message): void {
    this.#number(message, this.#options.self);
    if (node.send(namespace, { message, toSubscribers: false, groups: [group], store: false }, null))
      this.keep(node, namespace, [group], message);
  }

  #number(message: Message, source: number): void {
    message.source = source;
    message.serial = ++this.#serial;
    message.isGivenOn = true;
  }

  /** A worker or a node has died: see UnsettledMessages.giveOn(). QoS 2 messages of a node that may still live stay there. */
  placeLost(place: Peer, isDead: boolean): void {
    const { unsettled } = this.#ports;
    const isOf = (kept: Unsettled) => kept.place === place && (isDead || kept.message.qos === 1);
    // Its successor gets none of them twice: this relay decides about each.
    const names = isDead ? unsettled.namesOf(place) : null;
    const given = unsettled.giveOn(isOf, (kept) => this.giveOn(kept, place));
    if (place instanceof RemoteNode) withdraw(place, names ?? given);
  }

  /** Groups have got members: messages without a place may have one now. */
  retry(): void {
    const { unsettled } = this.#ports;
    if (!unsettled.hasStranded) return;
    const places = new Map<RemoteNode, Set<string>>();
    for (const place of unsettled.strandedAt()) {
      const isBack = place instanceof RemoteNode && place.isAwaited;
      const given = unsettled.giveOn(
        (kept) => kept.isStranded && kept.place === place,
        (kept) => this.giveOn(kept, isBack ? null : place),
      );
      if (place instanceof RemoteNode && !isBack) places.set(place, given);
    }
    for (const [node, given] of places) withdraw(node, given);
  }
}

/** Takes messages back that wait for the node. */
function withdraw(node: RemoteNode, names: ReadonlySet<string>): void {
  if (names.size > 0) node.withdraw(({ source, serial }, group) => names.has(keyOf(source, serial, group)));
}
