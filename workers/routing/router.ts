/** Routes messages to the subscribers of this worker, to one member of each shared group, and into the batches of interested peers. */

import { decodePublish } from '../../src/mqtt/decode.ts';
import { publishSize, writePublish } from '../../src/mqtt/encode-publish.ts';
import { readRemainingLength, remainingLengthSize } from '../../src/mqtt/framer.ts';
import { EMPTY, Message } from './message.ts';
import type { Namespace } from './namespace.ts';
import { INTEREST, type Peer, type PeerPublish } from './peer.ts';
import type { Member, ShareGroup } from './share-group.ts';
import type { Grant, Run } from './subscriber.ts';
import type { TopicEntry } from './topic-entry.ts';

/** The result of routing a message. */
export interface Routed {
  /** at least one subscriber got the message or may get it */
  hasReceivers: boolean;
  /** > 0: acknowledge the message only when the session worker has stored up to this serial */
  serial: number;
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
  /** Peer and serial name a message on disk: neither a new session worker nor a new process may give the name twice. */
  #serial = 0;
  /** result of the last route(), reused: an object for each message would cost more */
  readonly #routed: Routed = { hasReceivers: false, serial: 0 };

  constructor(self: number, hooks: RouterHooks) {
    this.#self = self;
    this.#hooks = hooks;
  }

  /** Starts the numbers at `serial`; no earlier process has used any above it (src/thread/message-numbers.ts). To be called before the first message. */
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
    // A delivery may end a session, and the entry forgets what it knew.
    const { peers, groups: ofTopic, hasReceivers } = entry;
    this.#deliverLocal(entry, message, 0);
    const groupsOf = ofTopic.length > 0 ? this.#chooseMembers(ofTopic, message, null) : null;
    const wanted = isQueued ? INTEREST.queued | INTEREST.durable : INTEREST.live;
    let toSession = false;
    let isAwaited = store;
    for (const { peer, flags } of peers) {
      const groups = groupsOf?.get(peer) ?? null;
      const toSubscribers = (flags & wanted) !== 0;
      if (!toSubscribers && groups === null) continue;
      if (peer === this.sessionPeer) toSession = true;
      groupsOf?.delete(peer);
      const isStored = (store && this.#stores(peer, flags, message)) || this.#isForSomebodyAway(peer, groups, isQueued);
      isAwaited ||= isStored;
      this.#toPeer(peer, namespace, { message, toSubscribers, groups, store: isStored });
    }
    if (groupsOf !== null) {
      for (const [peer, groups] of groupsOf) {
        if (peer === this.sessionPeer) toSession = true;
        const isStored = this.#isForSomebodyAway(peer, groups, isQueued);
        isAwaited ||= isStored;
        this.#toPeer(peer, namespace, { message, toSubscribers: false, groups, store: isStored });
      }
    }
    if (message.retain) this.#retain(namespace, message, toSession, store);
    if (isAway && (isQueued || message.retain)) this.outbox?.add(namespace, message, null);
    const routed = this.#routed;
    routed.hasReceivers = hasReceivers;
    routed.serial = isAwaited ? message.serial : 0;
    return routed;
  }

  /** Numbers a message that goes to one session and is not routed. */
  number(message: Message): void {
    message.source = this.#self;
    message.serial = ++this.#serial;
  }

  /** The shared group chose the session worker: the member may be a durable session. */
  #isForSomebodyAway(peer: Peer, groups: readonly string[] | null, isQueued: boolean): boolean {
    return isQueued && groups !== null && peer === this.sessionPeer;
  }

  #stores(peer: Peer, flags: number, message: Message): boolean {
    return (flags & INTEREST.durable) !== 0 || (message.retain && peer === this.sessionPeer);
  }

  #toPeer(peer: Peer, namespace: Namespace, record: PeerPublish): void {
    if (peer.isOverloaded && record.message.qos === 0 && !record.message.retain) this.#hooks.onPeerOverload(1);
    else {
      if (record.store) this.outbox?.add(namespace, record.message, record.groups ?? NO_GROUPS);
      peer.publish(namespace.name, record);
    }
  }

  /** Every RETAIN publish goes to the session worker, the keeper of the retained messages. */
  #retain(namespace: Namespace, message: Message, isSent: boolean, store: boolean): void {
    this.#hooks.onRetainedPublish(namespace.name, message);
    if (this.retained !== null) this.retained.retain(namespace.name, message);
    else if (!isSent && this.sessionPeer !== null) {
      this.#toPeer(this.sessionPeer, namespace, { message, toSubscribers: false, groups: null, store });
    }
  }

  #deliverLocal(entry: TopicEntry, message: Message, source: number): void {
    const targets = entry.targets;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!;
      let grant: Grant | null = target.grant;
      // Compared only where the result matters: the comparison of keys costs more than the rest.
      if (target.ownGrant !== grant && message.from !== '' && target.subscriber.key === message.from) grant = target.ownGrant;
      if (grant !== null) target.subscriber.deliver(message, grant, source, null);
    }
  }

  /** Serves the groups whose turn falls on a member here; returns the others by peer. */
  #chooseMembers(groups: readonly ShareGroup[], message: Message, exclude: Peer | null): Map<Peer, string[]> | null {
    let remote: Map<Peer, string[]> | null = null;
    for (const group of groups) {
      const choice = group.choose(exclude);
      if (choice === null) continue;
      if (isMember(choice)) choice.subscriber.deliver(message, choice.grant, 0, group);
      else remote = noteRemote(remote, choice, group);
    }
    return remote;
  }

  /** Offers a message of a shared group to another member: the last one left, or the chosen peer has no member any more. */
  rerouteShared(namespace: Namespace, group: { filter: string; name: string }, message: Message, exclude: Peer | null): boolean {
    const known = namespace.findGroup(group.filter, group.name);
    if (known === undefined) return false;
    const remote = this.#chooseMembers([known], message, exclude);
    for (const [peer, groups] of remote ?? []) peer.publish(namespace.name, { message, toSubscribers: false, groups, store: false });
    return true;
  }

  /** Takes a record from a peer. @returns groups that no longer have a member here: the sender chooses again */
  receive(namespace: Namespace, record: PeerPublish, source: number): string[] | null {
    const { message } = record;
    const entry = namespace.entry(message.topic);
    const ofTopic = entry.groups;
    if (message.retain) {
      this.#hooks.onRetainedPublish(namespace.name, message);
      this.retained?.retain(namespace.name, message);
    }
    if (record.toSubscribers) this.#deliverLocal(entry, message, source);
    let orphans: string[] | null = null;
    for (const id of record.groups ?? []) {
      const group = ofTopic.find((candidate) => candidate.id === id);
      const member = group?.chooseLocal() ?? null;
      if (group !== undefined && member !== null) member.subscriber.deliver(message, member.grant, source, group);
      else {
        orphans ??= [];
        orphans.push(id);
      }
    }
    return orphans;
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
    const part = { ...run, count: 1 };
    for (let at = run.start; at < run.end; at = part.end) {
      part.start = at;
      part.end = packetEnd(run, at);
      part.other = null;
      let message: Message | null = null;
      let remote: Map<Peer, string[]> | null = null;
      for (const group of groups) {
        const choice = group.choose(null);
        if (choice === null) continue;
        if (!isMember(choice)) remote = noteRemote(remote, choice, group);
        else if (choice.grant.identifiers.length > 0 || !choice.subscriber.deliverRun(part, 0, group)) {
          message ??= splitRun(topic, part)[0]!;
          choice.subscriber.deliver(message, choice.grant, 0, group);
        }
      }
      if (remote === null) continue;
      message ??= splitRun(topic, part)[0]!;
      for (const [peer, ids] of remote) this.#toPeer(peer, namespace, { message, toSubscribers: false, groups: ids, store: false });
    }
  }

  receiveRun(namespace: Namespace, run: Run, source: number): void {
    const topicStart = run.start + 1 + remainingLengthSize(readRemainingLength(run.buf, run.start + 1, run.end)) + 2;
    const topicEnd = topicStart + run.buf.readUInt16BE(topicStart - 2);
    this.#runLocal(namespace.entry(run.buf.latin1Slice(topicStart, topicEnd)), run, source);
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

function isMember(choice: Member | Peer): choice is Member {
  return 'subscriber' in choice;
}

function noteRemote(remote: Map<Peer, string[]> | null, peer: Peer, group: ShareGroup): Map<Peer, string[]> {
  const noted = remote ?? new Map<Peer, string[]>();
  const list = noted.get(peer);
  if (list === undefined) noted.set(peer, [group.id]);
  else list.push(group.id);
  return noted;
}

/** The end of the packet that begins at `at`. */
function packetEnd({ buf, end }: Run, at: number): number {
  const low = buf[at + 1]!;
  if (low < 0x80) return at + 2 + low;
  const remaining = readRemainingLength(buf, at + 1, end);
  return at + 1 + remainingLengthSize(remaining) + remaining;
}

/** The packets of a run as messages. */
function splitRun(topic: string, run: Run): Message[] {
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
  const topicBytes = firstTopic(run);
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

function firstTopic(run: Run): Buffer {
  const start = run.start + 1 + remainingLengthSize(readRemainingLength(run.buf, run.start + 1, run.end)) + 2;
  return run.buf.subarray(start, start + run.buf.readUInt16BE(start - 2));
}
