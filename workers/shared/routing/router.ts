/** Routes messages to the subscribers of this worker, to one member of each shared group, and into the batches of interested peers. */

import { isSystemTopic } from '../../../src/mqtt/topic.ts';
import { isForeign, Message } from '../messages/message.ts';
import { beforeFirst, nextPacket, type Run, splitRun, topicOfRun } from '../messages/run.ts';
import type { StampClock } from '../messages/stamp.ts';
import type { Crossing } from './crossing.ts';
import type { Namespace } from './namespace.ts';
import { INTEREST, type Peer, type PeerPublish } from './peer.ts';
import { groupOf, type Member, type ShareGroup } from './share-group.ts';
import { type Confirmation, SharedConfirmations } from './shared-confirmations.ts';
import { SharedReports } from './shared-reports.ts';
import type { Grant } from './subscriber.ts';
import type { TopicEntry } from './topic-entry.ts';

/** The result of routing a message. */
export interface Routed {
  /** at least one subscriber got the message or may get it */
  hasReceivers: boolean;
  /** > 0: acknowledge the message only when the session worker has stored up to this serial */
  serial: number;
  /** not null: acknowledge the message only when the durable members of its shared groups have it on disk */
  confirmation: Confirmation | null;
}

/** The result of taking a record from a peer; reused for the next record. */
export interface Received {
  /** groups that no longer have a member here: the sender chooses again */
  orphans: string[] | null;
  /** resolves when the durable members that were chosen here have the message on disk; null: there are none */
  kept: Promise<void> | null;
}

/** The groups that one peer serves with a message. */
interface RemoteGroups {
  readonly ids: string[];
  /** at least one of these groups has a durable member at the peer */
  hasDurable: boolean;
}

/** Takes retained messages: the store in the session worker; null elsewhere. */
export interface RetainedSink {
  retain(namespace: string, message: Message): void;
}

/** Keeps a record for the session worker until the session worker has confirmed it. */
export interface StoreOutbox {
  /** @param groups shared groups that the session worker should serve; null while it is away */
  add(namespace: Namespace, message: Message, groups: readonly string[] | null): void;
}

const NO_GROUPS: readonly string[] = [];

export interface RouterHooks {
  /** Called when a QoS 0 message or run is dropped because a peer is too far behind. */
  onPeerOverload(count: number): void;
  /** Called for each retained publish that passes through this worker (for subscriptions that wait for their retained messages). */
  onRetainedPublish(namespace: string, message: Message): void;
}

export class Router {
  readonly #self: number;
  readonly #hooks: RouterHooks;
  /** the session worker as a peer; null in the session worker itself, and while it is away */
  sessionPeer: Peer | null = null;
  /** set in the session worker only */
  retained: RetainedSink | null = null;
  /** set in endpoint workers only */
  outbox: StoreOutbox | null = null;
  /** the relay as a peer; null without other nodes, and while it is away */
  relayPeer: Peer | null = null;
  /** a shared subscription gives a message to a member on another node only when no member is connected on this node */
  prefersOwnMembers = false;
  /** messages on their way to other nodes; null: the node has no relay, or this worker is the relay */
  crossing: Crossing | null = null;
  /** stamps retained messages; null: no other node compares them */
  stamps: StampClock | null = null;
  /** Peer and serial name a message on disk: neither a new session worker nor a new process may give the name twice. */
  #serial = 0;
  /** result of the last route(), reused: an object for each message would cost more */
  readonly #routed: Routed = { hasReceivers: false, serial: 0, confirmation: null };
  readonly #received: Received = { orphans: null, kept: null };
  readonly confirmations = new SharedConfirmations();
  readonly reports = new SharedReports();
  /** confirmation of the message that is being routed; null: none so far */
  #confirmation: Confirmation | null = null;
  /** Resolves when the session worker has everything sent to it so far on disk; null in the session worker. */
  committed: (() => Promise<void>) | null = null;

  constructor(self: number, hooks: RouterHooks) {
    this.#self = self;
    this.#hooks = hooks;
  }

  /** Starts the numbers at `serial`, above all numbers of earlier processes (src/thread/message-numbers.ts). Called before the first message. */
  numberFrom(serial: number): void {
    this.#serial = Math.max(this.#serial, serial);
  }

  /** Routes a message that this worker received from a client or made itself. The result is valid until the next call. */
  route(namespace: Namespace, found: TopicEntry, message: Message): Routed {
    const entry = namespace.isCurrent(found) ? found : namespace.entry(found.topic);
    const isQueued = message.qos > 0;
    const isAway = this.outbox !== null && this.sessionPeer === null;
    const store = isQueued && (isAway || entry.wantsStore || message.retain) && (isAway || this.sessionPeer !== null);
    message.source = this.#self;
    message.serial = isQueued || message.retain ? ++this.#serial : 0;
    if (message.retain && this.stamps !== null) message.stamp = this.stamps.next();
    // A delivery may end a session, which empties the entry.
    const { peers, groups: ofTopic, hasReceivers } = entry;
    // The end of a session may route messages of its own.
    const outer = this.#confirmation;
    this.#confirmation = null;
    this.#deliverLocal(entry, message, 0);
    const groupsOf = ofTopic.length > 0 ? this.#chooseMembers(ofTopic, message) : null;
    const wanted = isQueued ? INTEREST.queued | INTEREST.durable : INTEREST.live;
    let toSession = false;
    let toRelay = false;
    let isAwaited = store;
    for (const { peer, flags } of peers) {
      const groups = groupsOf?.get(peer) ?? null;
      const toSubscribers = (flags & wanted) !== 0;
      if (!toSubscribers && groups === null) continue;
      groupsOf?.delete(peer);
      toSession ||= peer === this.sessionPeer;
      toRelay ||= peer === this.relayPeer;
      if (this.#send(peer, namespace, message, toSubscribers, groups, store && this.#stores(flags, message))) isAwaited = true;
    }
    if (groupsOf !== null) {
      for (const [peer, groups] of groupsOf) {
        toSession ||= peer === this.sessionPeer;
        toRelay ||= peer === this.relayPeer;
        if (this.#send(peer, namespace, message, false, groups, false)) isAwaited = true;
      }
    }
    if (message.retain) this.#retain(namespace, message, toSession, toRelay, store);
    if (isAway && (isQueued || message.retain)) this.outbox?.add(namespace, message, null);
    const waits = isQueued && this.crossing?.isAway === true;
    if (waits) this.crossing?.wait(namespace, message, this.#confirm(message));
    const routed = this.#routed;
    // Another node may have subscribers: the answer is unknown while the relay is away.
    routed.hasReceivers = hasReceivers || waits;
    routed.serial = isAwaited ? message.serial : 0;
    routed.confirmation = this.#confirmation;
    this.#confirmation = outer;
    return routed;
  }

  /** Numbers a message that goes to one session and is not routed. */
  number(message: Message): void {
    message.source = this.#self;
    message.serial = ++this.#serial;
  }

  /** Whether the session worker stores a QoS 1 or 2 message for ordinary subscribers, or as a retained message. */
  #stores(flags: number, message: Message): boolean {
    return (flags & INTEREST.durable) !== 0 || message.retain;
  }

  /**
   * Sends a message to one peer. A member of a shared group may be durable there: the session worker then reports the message as stored,
   * and an endpoint worker confirms it.
   * @param isForDisk the session worker must store the message for others than the groups
   * @returns true when the acknowledgement waits for the session worker
   */
  #send(
    peer: Peer,
    namespace: Namespace,
    message: Message,
    toSubscribers: boolean,
    groups: RemoteGroups | null,
    isForDisk: boolean,
  ): boolean {
    if (peer === this.relayPeer) {
      this.#sendAbroad(peer, namespace, { message, toSubscribers, groups: groups?.ids ?? null, store: false });
      return false;
    }
    const isShared = groups !== null && message.qos > 0;
    const isSession = peer === this.sessionPeer;
    const isConfirmed = !isSession && isShared && groups.hasDurable;
    if (isConfirmed) this.confirmations.sent(peer, { confirmation: this.#confirm(message), namespace, message, groups: groups.ids });
    const isStored = isSession && (isForDisk || isShared);
    this.#toPeer(peer, namespace, { message, toSubscribers, groups: groups?.ids ?? null, store: isStored || isConfirmed });
    return isStored;
  }

  /** The relay reports when all nodes that want a QoS 1 or 2 message have taken it: until then its publisher waits. */
  #sendAbroad(relay: Peer, namespace: Namespace, record: PeerPublish): void {
    const { message } = record;
    if (message.qos > 0) this.crossing?.sent(namespace, record, this.#confirm(message));
    this.#toPeer(relay, namespace, record);
  }

  /** The confirmation of the message that is being routed. */
  #confirm(message: Message): Confirmation {
    this.#confirmation ??= this.confirmations.open(message);
    return this.#confirmation;
  }

  #toPeer(peer: Peer, namespace: Namespace, record: PeerPublish): void {
    // Other nodes get what they lack of the retained messages later.
    const isKept = record.message.retain && peer !== this.relayPeer;
    if (peer.isOverloaded && record.message.qos === 0 && !isKept) this.#hooks.onPeerOverload(1);
    else {
      if (record.store && peer === this.sessionPeer) this.outbox?.add(namespace, record.message, record.groups ?? NO_GROUPS);
      peer.publish(namespace.name, record);
    }
  }

  /** Every RETAIN publish goes to the session worker, which keeps it, and to all other nodes, in the stream of its publisher. */
  #retain(namespace: Namespace, message: Message, toSession: boolean, toRelay: boolean, store: boolean): void {
    this.#hooks.onRetainedPublish(namespace.name, message);
    if (this.relayPeer !== null && !toRelay && !isSystemTopic(message.topic))
      this.#sendAbroad(this.relayPeer, namespace, { message, toSubscribers: false, groups: null, store: false });
    if (this.retained !== null) this.retained.retain(namespace.name, message);
    else if (!toSession && this.sessionPeer !== null) {
      this.#toPeer(this.sessionPeer, namespace, { message, toSubscribers: false, groups: null, store });
    }
  }

  #deliverLocal(entry: TopicEntry, message: Message, source: number): void {
    const targets = entry.targets;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!;
      let grant: Grant | null = target.grant;
      // Keys are compared only where the result matters: the comparison costs more than the rest.
      if (target.ownGrant !== grant && message.from !== '' && target.subscriber.key === message.from) grant = target.ownGrant;
      if (grant !== null) target.subscriber.deliver(message, grant, source, null);
    }
  }

  /** Serves the groups whose turn falls on a member here; returns the others by peer. */
  #chooseMembers(groups: readonly ShareGroup[], message: Message): Map<Peer, RemoteGroups> | null {
    let remote: Map<Peer, RemoteGroups> | null = null;
    const far = this.prefersOwnMembers ? this.relayPeer : null;
    for (const group of groups) {
      const choice = group.choose(null, far);
      if (choice === null) continue;
      if (!isMember(choice)) {
        remote = noteRemote(remote, choice, group);
        continue;
      }
      this.#deliverTo(choice, message, group);
    }
    return remote;
  }

  /** Gives a message to a member of this worker. */
  #deliverTo({ subscriber, grant }: Member, message: Message, group: ShareGroup): void {
    const kept = subscriber.deliver(message, grant, 0, group);
    if (kept !== null) this.#confirm(message).follow(kept);
  }

  /**
   * Offers a message of a shared group to another member, because the chosen member left, or its peer has no member any more.
   * @param confirmation that its publisher waits for; null: none so far
   * @returns the confirmation that its publisher must wait for now; null: none
   */
  rerouteShared(
    namespace: Namespace,
    group: { filter: string; name: string },
    message: Message,
    exclude: Peer | null,
    confirmation: Confirmation | null = null,
  ): Confirmation | null {
    const known = namespace.findGroup(group.filter, group.name);
    const choice = known?.choose(exclude, this.prefersOwnMembers ? this.relayPeer : null) ?? null;
    if (known === undefined || choice === null) {
      this.reports.settled(message, group);
      return confirmation;
    }
    const outer = this.#confirmation;
    this.#confirmation = confirmation;
    if (isMember(choice)) this.#deliverTo(choice, message, known);
    else this.#giveOn(choice, namespace, message, known);
    const needed = this.#confirmation;
    this.#confirmation = outer;
    return needed;
  }

  /**
   * A peer, or a node behind the relay, has no member of the group left: another member gets this worker's message.
   * @returns as rerouteShared()
   */
  bounced(namespace: Namespace, group: { filter: string; name: string }, message: Message, peer: Peer): Confirmation | null {
    if (peer !== this.relayPeer) return this.rerouteShared(namespace, group, message, peer, this.confirmations.find(peer, message.serial));
    // Other nodes know this worker under another number.
    message.source = this.#self;
    return this.rerouteShared(namespace, group, message, peer, this.crossing?.find(message.serial) ?? null);
  }

  /** Sends a message of a shared group to a member at a peer, after another member has left. */
  #giveOn(peer: Peer, namespace: Namespace, message: Message, group: ShareGroup): void {
    const isOwn = message.source === this.#self;
    const isSession = peer === this.sessionPeer;
    const copy = givenOn(message);
    const groups = noteRemote(null, peer, group).get(peer)!;
    // Peers take every message from here for a message that this worker has numbered. Under another worker's number, the message would count
    // as this worker's own message of that number, and one of the two would be lost. Other nodes drop numbers that they have had already.
    if (message.qos > 0 && (!isOwn || peer === this.relayPeer)) this.number(copy);
    // Without `store` for an old number: the session worker may already have reported higher ones.
    if (!isSession || !isOwn) this.#send(peer, namespace, copy, false, groups, false);
    else peer.publish(namespace.name, { message: copy, toSubscribers: false, groups: groups.ids, store: false });
    if (isSession && message.qos > 0 && this.committed !== null) this.#confirm(message).follow(this.committed());
    // The node that keeps the message forgets it when the next place has it.
    if (this.#confirmation === null) this.reports.settled(message, group);
    else if (this.reports.keeps({ message, group })) this.#confirmation.when(() => this.reports.settled(message, group));
  }

  /** The endpoint worker `peer` has ended: its unconfirmed shared messages go to other members. */
  peerRemoved(peer: Peer): void {
    this.confirmations.peerRemoved(peer, ({ namespace, message, groups, confirmation }) => {
      for (const id of groups) this.rerouteShared(namespace, groupOf(id), message, peer, confirmation);
    });
  }

  /** Takes a record from a peer. The result is valid until the next call. */
  receive(namespace: Namespace, record: PeerPublish, source: number): Received {
    const received = this.#received;
    received.orphans = null;
    received.kept = null;
    const { message } = record;
    const entry = namespace.entry(message.topic);
    const ofTopic = entry.groups;
    if (message.retain && !message.isGivenOn) {
      // A message that this node publishes in answer must have a later stamp.
      if (isForeign(message)) this.stamps?.note(message.stamp);
      this.#hooks.onRetainedPublish(namespace.name, message);
      this.retained?.retain(namespace.name, message);
    }
    if (record.toSubscribers) this.#deliverLocal(entry, message, source);
    for (const id of record.groups ?? []) {
      const group = ofTopic.find((candidate) => candidate.id === id);
      const member = group?.chooseLocal(message.isGivenOn ? message.from : '') ?? null;
      if (group === undefined || member === null) {
        received.orphans ??= [];
        received.orphans.push(id);
        continue;
      }
      const kept = member.subscriber.deliver(message, member.grant, source, group);
      if (kept !== null) received.kept = received.kept === null ? kept : Promise.all([received.kept, kept]).then(() => undefined);
    }
    return received;
  }

  /** Routes a run of QoS 0 packets of one topic as bytes wherever possible. */
  routeRun(namespace: Namespace, found: TopicEntry, run: Run): void {
    const entry = namespace.isCurrent(found) ? found : namespace.entry(found.topic);
    const { peers, groups } = entry;
    this.#runLocal(entry, run, 0);
    for (const { peer, flags } of peers) {
      if ((flags & INTEREST.live) === 0) continue;
      if (peer.isOverloaded) this.#hooks.onPeerOverload(run.count);
      else peer.publishRun(namespace.name, run);
    }
    if (groups.length > 0) this.#runToGroups(namespace, entry.topic, groups, run);
  }

  /** Each packet of the run goes to one member of each group, as bytes where possible. */
  #runToGroups(namespace: Namespace, topic: string, groups: readonly ShareGroup[], run: Run): void {
    const part = beforeFirst(run);
    const far = this.prefersOwnMembers ? this.relayPeer : null;
    while (nextPacket(run, part)) {
      let message: Message | null = null;
      let remote: Map<Peer, RemoteGroups> | null = null;
      for (const group of groups) {
        const choice = group.choose(null, far);
        if (choice === null) continue;
        if (!isMember(choice)) remote = noteRemote(remote, choice, group);
        else if (choice.grant.identifiers.length > 0 || !choice.subscriber.deliverRun(part, 0, group)) {
          message ??= splitRun(topic, part)[0]!;
          choice.subscriber.deliver(message, choice.grant, 0, group);
        }
      }
      if (remote === null) continue;
      message ??= splitRun(topic, part)[0]!;
      for (const [peer, { ids }] of remote) this.#toPeer(peer, namespace, { message, toSubscribers: false, groups: ids, store: false });
    }
  }

  receiveRun(namespace: Namespace, run: Run, source: number): void {
    this.#runLocal(namespace.entry(topicOfRun(run)), run, source);
  }

  #runLocal(entry: TopicEntry, run: Run, source: number): void {
    let messages: Message[] | null = null;
    const targets = entry.targets;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!;
      if (target.isPlain && target.subscriber.deliverRun(run, source, null)) continue;
      const grant = source === 0 && target.subscriber.key === run.from ? target.ownGrant : target.grant;
      if (grant === null) continue;
      messages ??= splitRun(entry.topic, run);
      for (const message of messages) target.subscriber.deliver(message, grant, source, null);
    }
  }
}

/** A copy with the same number, for another member of the group. */
function givenOn({ topic, payload, qos, retain, forward, expiresAt, source, serial, isGivenOn, from }: Message): Message {
  const copy = new Message(topic, payload, qos, retain, forward, expiresAt, isGivenOn ? from : '');
  copy.source = source;
  copy.serial = serial;
  copy.isGivenOn = true;
  return copy;
}

function isMember(choice: Member | Peer): choice is Member {
  return 'subscriber' in choice;
}

function noteRemote(remote: Map<Peer, RemoteGroups> | null, peer: Peer, group: ShareGroup): Map<Peer, RemoteGroups> {
  const noted = remote ?? new Map<Peer, RemoteGroups>();
  const hasDurable = (group.remote.get(peer)?.durable ?? 0) > 0;
  const known = noted.get(peer);
  if (known === undefined) noted.set(peer, { ids: [group.id], hasDurable });
  else {
    known.ids.push(group.id);
    known.hasDurable ||= hasDurable;
  }
  return noted;
}
