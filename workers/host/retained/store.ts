/** Retained messages of a node, by namespace, within their quotas. */

import { totalmem } from 'node:os';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { isSystemTopic } from '../../../src/mqtt/topic.ts';
import type { Message } from '../../shared/messages/message.ts';
import { type Stamp, stampAt } from '../../shared/messages/stamp.ts';
import { settle } from '../../shared/wire/page.ts';
import { type NodeLimits, type RetainedPart, RetainedQuota, type RetainedRefusal, type RetainedUse } from './quota.ts';
import { Replica } from './replica.ts';
import { RetainedTree, RetainedWalk } from './tree.ts';

/** Approximate bytes of a message without its topic, payload and properties. */
const MESSAGE_BYTES = 200;
const MIB = 1024 * 1024;

/** Limits of a node: a quarter of the memory that it may use, at least 64 MiB and at most 1 GiB. */
export function nodeLimits(): NodeLimits {
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return { messages: 2_000_000, bytes: Math.min(1024 * MIB, Math.max(64 * MIB, Math.floor(memory / 4))) };
}

/** Stores retained messages across a restart. */
export interface RetainedDisk {
  putRetained(namespace: string, message: Message): void;
  deleteRetained(namespace: string, topic: string): void;
  /** The topic has no message since this stamp. */
  putDeletion(namespace: string, topic: string, stamp: Stamp): void;
  dropDeletion(namespace: string, topic: string): void;
}

/** Limits of remembered deletions in a cluster: their age (ms), and their number in each namespace. */
export const DELETIONS = { ms: 24 * 3_600_000, max: 50_000 } as const;

/** The present messages, and the refusals since the start. */
export interface RetainedCount extends RetainedUse {
  refused: number;
  namespaces: ({ namespace: string } & RetainedUse)[];
  endpoints: ({ endpoint: string; refused: number } & RetainedUse)[];
  /** topics without a message that are remembered */
  deletions: number;
}

/** The retained messages of one namespace. */
class Root {
  readonly tree = new RetainedTree();
  /** messages that expire, by topic */
  readonly expiring = new Map<string, Message>();
  /** increases with each change */
  version = 0;
  /** null: the node is not in a cluster */
  readonly replica: Replica | null;

  constructor(isReplicated: boolean) {
    this.replica = isReplicated ? new Replica() : null;
  }
}

/** The state before a change that may not be on disk. */
interface Change {
  readonly namespace: string;
  readonly topic: string;
  readonly before: Message | null;
  readonly stamp: Stamp | null;
}

export class RetainedStore {
  readonly #roots = new Map<string, Root>();
  readonly #disk: RetainedDisk | null;
  readonly #isReplicated: boolean;
  readonly quota: RetainedQuota;
  /** changes of one loop iteration that are not known to be on disk */
  #unsettled: Change[] = [];
  /** endpoint id → refused messages; '': the server itself */
  readonly #refused = new Map<string, number>();

  /** @param isReplicated other nodes keep the same messages, so the newest stamp counts, and deletions are remembered */
  constructor(disk: RetainedDisk | null, limits = nodeLimits(), isReplicated = false) {
    this.#disk = disk;
    this.quota = new RetainedQuota(limits);
    this.#isReplicated = isReplicated;
  }

  #root(namespace: string): Root {
    let root = this.#roots.get(namespace);
    if (root === undefined) {
      root = new Root(this.#isReplicated);
      this.#roots.set(namespace, root);
    }
    return root;
  }

  /** The changes that other nodes keep, too; null: the topic or the node stands alone. */
  #replicaOf(namespace: string, topic: string): Replica | null {
    return this.#isReplicated && !isSystemTopic(topic) ? this.#root(namespace).replica : null;
  }

  /** The namespaces that are replicated. */
  *replicas(): IterableIterator<[namespace: string, replica: Replica]> {
    for (const [namespace, { replica }] of this.#roots) if (replica !== null) yield [namespace, replica];
  }

  replica(namespace: string): Replica | null {
    return this.#roots.get(namespace)?.replica ?? null;
  }

  count(): RetainedCount {
    const endpoints = new Map<string, RetainedUse>(this.quota.endpoints());
    for (const id of this.#refused.keys()) if (id !== '' && !endpoints.has(id)) endpoints.set(id, { messages: 0, bytes: 0 });
    let refused = 0;
    for (const count of this.#refused.values()) refused += count;
    return {
      ...this.quota.total,
      refused,
      deletions: [...this.replicas()].reduce((sum, [, { dead }]) => sum + dead.size, 0),
      namespaces: [...this.quota.namespaces()].map(([namespace, use]) => ({ namespace, ...use })),
      endpoints: [...endpoints].map(([endpoint, use]) => ({ endpoint, refused: this.#refused.get(endpoint) ?? 0, ...use })),
    };
  }

  /** The limit that the message would exceed; null when it would be kept. */
  refusal(namespace: string, message: Message): RetainedRefusal | null {
    // The server's own messages are few, and the server bounds them itself.
    if (message.payload.length === 0 || isSystemTopic(message.topic)) return null;
    const before = this.#roots.get(namespace)?.tree.get(message.topic) ?? null;
    return this.quota.refusal(namespace, partOf(message), before === null ? null : partOf(before));
  }

  /**
   * Handles a message with the RETAIN flag: an empty payload removes [MQTT-3.3.1-6], any other payload replaces [MQTT-3.3.1-5].
   * A change that is older than the last one of its topic has no effect.
   * @returns the limit that it exceeds, in which case the topic's former message stays; null when the message is kept
   */
  retain(namespace: string, message: Message): RetainedRefusal | null {
    const { topic, stamp } = message;
    const replica = this.#replicaOf(namespace, topic);
    if (replica !== null && !replica.isNews(topic, stamp)) return null;
    if (message.payload.length === 0) {
      this.#remember(namespace, topic, replica);
      const had = this.#delete(namespace, topic);
      replica?.set(topic, stamp, true);
      if (had) this.#disk?.deleteRetained(namespace, topic);
      if (replica !== null) this.#noteDeletion(namespace, replica, topic, stamp);
      return null;
    }
    const refusal = this.refusal(namespace, message);
    if (refusal !== null) {
      this.#refused.set(message.origin, (this.#refused.get(message.origin) ?? 0) + 1);
      return refusal;
    }
    this.#remember(namespace, topic, replica);
    // The server publishes its own messages again after a restart.
    if (this.#disk !== null && !isSystemTopic(topic)) {
      this.#disk.putRetained(namespace, message);
      if (replica?.dead.has(topic)) this.#disk.dropDeletion(namespace, topic);
      // An empty list means that the write failed at once and undo() has run.
      if (this.#unsettled.length === 0) return null;
    }
    this.put(namespace, message);
    return null;
  }

  #noteDeletion(namespace: string, replica: Replica, topic: string, stamp: Stamp): void {
    this.#disk?.putDeletion(namespace, topic, stamp);
    // The number stays above its limit until the next sweep, which looks for the oldest deletions.
    if (replica.dead.size <= 2 * DELETIONS.max) return;
    for (const [first] of replica.dead) {
      replica.forget(first);
      this.#disk?.dropDeletion(namespace, first);
      return;
    }
  }

  /** Notes the topic's former message until the result of the change is known. */
  #remember(namespace: string, topic: string, replica: Replica | null): void {
    if (this.#disk === null || isSystemTopic(topic)) return;
    const before = this.#roots.get(namespace)?.tree.get(topic) ?? null;
    this.#unsettled.push({ namespace, topic, before, stamp: replica?.stampOf(topic) ?? null });
  }

  /** Confirms that all changes so far are on disk. */
  settled(): void {
    if (this.#unsettled.length > 0) this.#unsettled = [];
  }

  /** Reverts the changes since settled(), which could not be stored: the topics get their former messages back. */
  undo(): void {
    const changes = this.#unsettled.reverse();
    this.#unsettled = [];
    for (const { namespace, topic, before, stamp } of changes) {
      if (before !== null) {
        this.put(namespace, before);
        continue;
      }
      this.#delete(namespace, topic);
      const replica = this.#replicaOf(namespace, topic);
      if (stamp === null) replica?.forget(topic);
      else replica?.set(topic, stamp, true);
    }
  }

  /** Keeps a message, without a check of the limits and without a write to disk. */
  put(namespace: string, message: Message): void {
    const root = this.#root(namespace);
    const before = root.tree.get(message.topic);
    if (before !== null) this.quota.remove(namespace, partOf(before));
    this.quota.add(namespace, partOf(message));
    root.tree.set(message.topic, settle(message));
    root.version++;
    if (message.expiresAt !== 0) root.expiring.set(message.topic, message);
    else if (root.expiring.size > 0) root.expiring.delete(message.topic);
    this.#replicaOf(namespace, message.topic)?.set(message.topic, message.stamp, false);
  }

  /** Removes the message with this stamp, as if it had never come. @returns false when the topic has another message, or none */
  withdraw(namespace: string, topic: string, stamp: Stamp): boolean {
    const replica = this.#replicaOf(namespace, topic);
    const known = replica?.stampOf(topic) ?? null;
    if (replica === null || known?.at !== stamp.at || known.by !== stamp.by || replica.dead.has(topic)) return false;
    this.#remember(namespace, topic, replica);
    this.#delete(namespace, topic);
    replica.forget(topic);
    this.#disk?.deleteRetained(namespace, topic);
    return true;
  }

  /** Notes that a topic has had no message since this stamp, as the disk says. */
  putDeletion(namespace: string, topic: string, stamp: Stamp): void {
    this.#replicaOf(namespace, topic)?.set(topic, stamp, true);
  }

  #delete(namespace: string, topic: string): boolean {
    const root = this.#roots.get(namespace);
    const before = root?.tree.get(topic) ?? null;
    if (root === undefined || before === null) return false;
    root.tree.delete(topic);
    root.version++;
    root.expiring.delete(topic);
    this.quota.remove(namespace, partOf(before));
    return true;
  }

  /** The message of a topic, unless it has expired. */
  get(namespace: string, topic: string, now: number): Message | null {
    const message = this.#roots.get(namespace)?.tree.get(topic) ?? null;
    return message === null || message.isExpired(now) ? null : message;
  }

  /** A number that increases with each change in the namespace. */
  version(namespace: string): number {
    return this.#roots.get(namespace)?.version ?? -1;
  }

  /** A walk over the messages that match a filter, expired ones too; null when the namespace has none. */
  walk(namespace: string, filter: string): RetainedWalk | null {
    const root = this.#roots.get(namespace);
    return root === undefined ? null : new RetainedWalk(root.tree, filter);
  }

  /**
   * Drops expired messages, and deletions that are old or too many, in slices, between which the thread does other work.
   * @param now steady milliseconds
   * @param wall milliseconds since the epoch
   */
  async sweep(now: number, wall = 0): Promise<void> {
    const pace = new Pace();
    for (const [namespace, root] of this.#roots) {
      for (const [topic, message] of root.expiring) {
        if (pace.isOver) await pace.next();
        if (!message.isExpired(now) || root.expiring.get(topic) !== message) continue;
        this.#delete(namespace, topic);
        this.#disk?.deleteRetained(namespace, topic);
        // The deletion must be remembered, or another node would bring back an older message.
        const replica = this.#replicaOf(namespace, topic);
        replica?.set(topic, message.stamp, true);
        if (replica !== null) this.#disk?.putDeletion(namespace, topic, message.stamp);
      }
      for (const topic of outdated(root.replica, wall)) {
        if (pace.isOver) await pace.next();
        const stamp = root.replica?.dead.get(topic);
        if (stamp === undefined) continue;
        root.replica?.forget(topic);
        this.#disk?.dropDeletion(namespace, topic);
      }
    }
  }
}

/** Deletions that may be forgotten. */
function outdated(replica: Replica | null, wall: number): string[] {
  if (replica === null || replica.dead.size === 0) return [];
  const since = stampAt(wall - DELETIONS.ms);
  const surplus = replica.surplus(DELETIONS.max);
  return [...surplus, ...[...replica.dead].filter(([, { at }]) => at < since).map(([topic]) => topic)];
}

function partOf({ origin, topic, payload, forward }: Message): RetainedPart {
  return { origin, bytes: topic.length + payload.length + forward.length + MESSAGE_BYTES };
}
