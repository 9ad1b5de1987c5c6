/**
 * Makes the retained messages of two nodes equal. Each node tells the others its digest when their link begins, and every few seconds. A node
 * whose digest differs pulls newer messages from the other node, page by page, so a slow node decides the pace. Live messages cross at the
 * same time: the newest stamp counts, not the order of arrival.
 */

import { messageOf } from '../../../src/kernel/errors.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import { EMPTY, Message } from '../../shared/messages/message.ts';
import type { Stamp } from '../../shared/messages/stamp.ts';
import { BatchReader, BatchWriter } from '../../shared/wire/records.ts';
import type { RetainedStore } from './store.ts';
import { decodeSync, differing, encodeHeld, encodeSums, encodeSync, isSum, missing, type SyncFrame, type SyncHead } from './sync-frames.ts';

/** Limits of a page: messages, bytes, and the time to find them (ms). A larger message is alone on its page. */
const PAGE_MESSAGES = 1_000;
const PAGE_BYTES = 128 * 1024;
const PAGE_MS = 10;
/** Own topics that a node names in one question. */
const HELD_MAX = 4_096;
/** A question without an answer is given up after this time (ms); the next comparison asks again. */
const ANSWER_MS = 15_000;
/** After messages without room the next question waits for this time, ms, and longer each time. */
const FULL_MS = 20_000;
const FULL_MAX_MS = 20 * 60_000;

export interface SyncOptions {
  store: RetainedStore;
  /** Keeps a message of another node; false: no room. */
  retain(namespace: string, message: Message): boolean;
  /** The other node, which published the message with this stamp, has no room for it: no node keeps it. */
  withdraw(namespace: string, topic: string, stamp: Stamp): void;
  send(node: string, frame: Buffer): void;
  /** Steady time, ms. */
  now(): number;
  /** This node has everything that the other node had when their link began. */
  onCompared(node: string): void;
  logger(): Logger;
}

/** A question of this node to another node. */
interface Pull {
  readonly id: number;
  readonly namespaces: string[];
  namespace: string;
  /** buckets that differ and have not been asked for */
  buckets: number[];
  askedAt: number;
  refused: number;
}

interface Remote {
  readonly name: string;
  pull: Pull | null;
  /** the other node's question; a node asks one question at a time */
  answer: { id: number; namespace: string; topics: Iterator<string | null> } | null;
  isCompared: boolean;
  /** time of the next question, after messages without room */
  fullUntil: number;
  fullMs: number;
}

export class RetainedSync {
  readonly #options: SyncOptions;
  readonly #remotes = new Map<string, Remote>();
  #lastId = 0;
  /** messages and deletions pulled by this node, and by other nodes from here */
  pulled = 0;
  sent = 0;

  constructor(options: SyncOptions) {
    this.#options = options;
  }

  /** Nodes that are up and whose messages are still being compared. */
  get behind(): number {
    let behind = 0;
    for (const { isCompared } of this.#remotes.values()) if (!isCompared) behind++;
    return behind;
  }

  /** A link begins: frames of the node count from now on. tell() must follow. */
  up(node: string): void {
    this.#remotes.set(node, { name: node, pull: null, answer: null, isCompared: false, fullUntil: 0, fullMs: FULL_MS });
  }

  down(node: string): void {
    this.#remotes.delete(node);
  }

  allDown(): void {
    this.#remotes.clear();
  }

  /** Tells the digests; to be called every few seconds. */
  look(): void {
    const now = this.#options.now();
    for (const remote of this.#remotes.values()) {
      if (remote.pull !== null && now - remote.pull.askedAt > ANSWER_MS) remote.pull = null;
      this.tell(remote.name);
    }
  }

  /** Tells a node the digests of this node. After up(), call it when every message published before the link began is handled. */
  tell(node: string): void {
    if (!this.#remotes.has(node)) return;
    const roots: [string, number, number][] = [];
    for (const [namespace, { digest }] of this.#options.store.replicas()) roots.push([namespace, digest.low, digest.high]);
    this.#send(node, { t: 'roots', roots });
  }

  /** A message of this node that the other nodes have too has no room here. */
  withdraw(namespace: string, { topic, stamp }: Message): void {
    for (const node of this.#remotes.keys()) this.#send(node, { t: 'withdraw', namespace, topic, stamp });
  }

  #send(node: string, head: SyncHead, body?: Buffer): void {
    this.#options.send(node, encodeSync(head, body));
  }

  /** @param clockShift see BatchReader. @param frame owned by this node, and never changed */
  receive(node: string, frame: Uint8Array, clockShift: number): void {
    const remote = this.#remotes.get(node);
    if (remote === undefined) return;
    try {
      this.#take(remote, decodeSync(frame), clockShift);
    } catch (error) {
      remote.pull = null;
      this.#options
        .logger()
        .error(`Cluster: node ${node} compares retained messages in a way that cannot be read`, { reason: messageOf(error) });
    }
  }

  #take(remote: Remote, { head, body }: SyncFrame, clockShift: number): void {
    const { store } = this.#options;
    const pull = remote.pull !== null && 'id' in head && head.id === remote.pull.id ? remote.pull : null;
    switch (head.t) {
      case 'roots':
        this.#compare(remote, head.roots);
        return;
      case 'ask':
        this.#send(remote.name, { t: 'sums', id: head.id }, encodeSums(store.replica(head.namespace)));
        return;
      case 'sums':
        if (pull === null) return;
        pull.buckets = differing(body, store.replica(pull.namespace));
        this.#ask(remote, pull);
        return;
      case 'pull': {
        const replica = store.replica(head.namespace);
        const topics = replica === null ? [].values() : missing(replica, head.buckets, body);
        remote.answer = { id: head.id, namespace: head.namespace, topics };
        this.#answer(remote);
        return;
      }
      case 'more':
        if (remote.answer?.id === head.id) this.#answer(remote);
        return;
      case 'page':
        if (pull === null) return;
        this.#keep(pull, body, clockShift);
        if (head.isLast) this.#ask(remote, pull);
        else this.#continue(remote, pull, { t: 'more', id: pull.id });
        return;
      case 'withdraw':
        this.#options.withdraw(head.namespace, head.topic, head.stamp);
        return;
    }
  }

  #compare(remote: Remote, roots: readonly [string, number, number][]): void {
    if (remote.pull !== null || (remote.isCompared && this.#options.now() < remote.fullUntil)) return;
    const differ = roots.filter(([namespace, low, high]) => !isSum(this.#options.store.replica(namespace)?.digest, low, high));
    const namespaces = differ.map(([namespace]) => namespace);
    remote.pull = { id: ++this.#lastId, namespaces, namespace: '', buckets: [], askedAt: 0, refused: 0 };
    this.#ask(remote, remote.pull);
  }

  /** The next question of a comparison, or its end. */
  #ask(remote: Remote, pull: Pull): void {
    const { id } = pull;
    if (pull.buckets.length > 0) {
      const replica = this.#options.store.replica(pull.namespace);
      let size = 0;
      const end = pull.buckets.findIndex((bucket) => {
        size += replica?.sizeOf(bucket) ?? 0;
        return size >= HELD_MAX;
      });
      const buckets = pull.buckets.splice(0, end === -1 ? pull.buckets.length : end + 1);
      this.#continue(remote, pull, { t: 'pull', id, namespace: pull.namespace, buckets }, encodeHeld(replica, buckets));
      return;
    }
    const next = pull.namespaces.shift();
    if (next !== undefined) {
      pull.namespace = next;
      this.#continue(remote, pull, { t: 'ask', id, namespace: next });
      return;
    }
    remote.pull = null;
    remote.fullMs = pull.refused === 0 ? FULL_MS : Math.min(FULL_MAX_MS, remote.fullMs * 2);
    remote.fullUntil = pull.refused === 0 ? 0 : this.#options.now() + remote.fullMs;
    if (remote.isCompared) return;
    remote.isCompared = true;
    this.#options.onCompared(remote.name);
  }

  #continue(remote: Remote, pull: Pull, head: SyncHead, body?: Buffer): void {
    pull.askedAt = this.#options.now();
    this.#send(remote.name, head, body);
  }

  #keep(pull: Pull, body: Buffer, clockShift: number): void {
    const reader = new BatchReader(0);
    reader.clockShift = clockShift;
    reader.readAll(body, {
      onPublish: (namespace, { message }) => {
        // No subscriber has had the message live.
        message.serial = 0;
        this.pulled++;
        if (!this.#options.retain(namespace, message)) pull.refused++;
      },
      onRun() {},
    });
  }

  /** Sends the next page of changes that the other node lacks. */
  #answer(remote: Remote): void {
    const { answer } = remote;
    if (answer === null) return;
    const { store, now } = this.#options;
    const writer = new BatchWriter({ floorOf: null, isWhole: true });
    const until = now() + PAGE_MS;
    let count = 0;
    let isLast = false;
    while (count < PAGE_MESSAGES && writer.written < PAGE_BYTES) {
      const next = answer.topics.next();
      isLast = next.done === true;
      if (isLast || (next.value === null && now() > until)) break;
      if (next.value === null) continue;
      const message = this.#found(store, answer.namespace, next.value);
      writer.publish(answer.namespace, { message, toSubscribers: false, groups: null, store: false });
      count++;
    }
    this.sent += count;
    if (isLast) remote.answer = null;
    const parts = writer.take().map(({ buffer, used }) => Buffer.from(buffer, 0, used));
    this.#send(remote.name, { t: 'page', id: answer.id, isLast }, Buffer.concat(parts));
  }

  /** The message of a topic; a message without payload for a topic that has lost its message. */
  #found(store: RetainedStore, namespace: string, topic: string): Message {
    const message = store.get(namespace, topic, this.#options.now());
    if (message !== null) return message;
    const deletion = new Message(topic, EMPTY, 0, true, EMPTY, 0, '');
    deletion.stamp = store.replica(namespace)?.stampOf(topic) ?? deletion.stamp;
    return deletion;
  }
}
