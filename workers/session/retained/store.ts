/** Retained messages of a node, by namespace, within their quotas. */

import { totalmem } from 'node:os';
import { Pace } from '../../../src/kernel/pace.ts';
import type { Message } from '../../routing/message.ts';
import { settle } from './page.ts';
import { type NodeLimits, type RetainedPart, RetainedQuota, type RetainedRefusal, type RetainedUse } from './quota.ts';
import { RetainedTree, RetainedWalk } from './tree.ts';

/** What a message takes beside its topic, payload and properties, about. */
const MESSAGE_BYTES = 200;
const MIB = 1024 * 1024;

/** What a node keeps at most: a quarter of the memory that it may use, up to 1 GiB. */
export function nodeLimits(): NodeLimits {
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return { messages: 2_000_000, bytes: Math.min(1024 * MIB, Math.max(64 * MIB, Math.floor(memory / 4))) };
}

/** Where retained messages are kept over a restart. */
export interface RetainedDisk {
  putRetained(namespace: string, message: Message): void;
  deleteRetained(namespace: string, topic: string): void;
}

/** What is kept, and what was refused since the start. */
export interface RetainedCount extends RetainedUse {
  refused: number;
  namespaces: ({ namespace: string } & RetainedUse)[];
  endpoints: ({ endpoint: string; refused: number } & RetainedUse)[];
}

/** What is retained in one namespace. */
class Root {
  readonly tree = new RetainedTree();
  /** those that expire, by topic */
  readonly expiring = new Map<string, Message>();
  /** moves with each change */
  version = 0;
}

export class RetainedStore {
  readonly #roots = new Map<string, Root>();
  readonly #disk: RetainedDisk | null;
  readonly quota: RetainedQuota;
  /** changes that are not known to be on disk; of one loop iteration */
  #unsettled: { namespace: string; topic: string; before: Message | null }[] = [];
  /** endpoint id → messages refused; '': the server's */
  readonly #refused = new Map<string, number>();

  constructor(disk: RetainedDisk | null, limits = nodeLimits()) {
    this.#disk = disk;
    this.quota = new RetainedQuota(limits);
  }

  count(): RetainedCount {
    const endpoints = new Map<string, RetainedUse>(this.quota.endpoints());
    for (const id of this.#refused.keys()) if (id !== '' && !endpoints.has(id)) endpoints.set(id, { messages: 0, bytes: 0 });
    let refused = 0;
    for (const count of this.#refused.values()) refused += count;
    return {
      ...this.quota.total,
      refused,
      namespaces: [...this.quota.namespaces()].map(([namespace, use]) => ({ namespace, ...use })),
      endpoints: [...endpoints].map(([endpoint, use]) => ({ endpoint, refused: this.#refused.get(endpoint) ?? 0, ...use })),
    };
  }

  /** The limit that the message would be over; null: it would be kept. */
  refusal(namespace: string, message: Message): RetainedRefusal | null {
    // What the server says of itself is little, and its own to bound.
    if (message.payload.length === 0 || isSystemTopic(message.topic)) return null;
    const before = this.#roots.get(namespace)?.tree.get(message.topic) ?? null;
    return this.quota.refusal(namespace, partOf(message), before === null ? null : partOf(before));
  }

  /**
   * Takes a message with the RETAIN flag: an empty payload removes [MQTT-3.3.1-6], anything else replaces [MQTT-3.3.1-5].
   * @returns the limit that it is over: what was there before stays; null: it is kept
   */
  retain(namespace: string, message: Message): RetainedRefusal | null {
    if (message.payload.length === 0) {
      this.#remember(namespace, message.topic);
      if (this.#delete(namespace, message.topic)) this.#disk?.deleteRetained(namespace, message.topic);
      return null;
    }
    const refusal = this.refusal(namespace, message);
    if (refusal !== null) {
      this.#refused.set(message.origin, (this.#refused.get(message.origin) ?? 0) + 1);
      return refusal;
    }
    this.#remember(namespace, message.topic);
    // What the server says of itself is said again after a restart.
    if (this.#disk !== null && !isSystemTopic(message.topic)) {
      this.#disk.putRetained(namespace, message);
      // The write failed at once and undo() has been called.
      if (this.#unsettled.length === 0) return null;
    }
    this.put(namespace, message);
    return null;
  }

  /** Notes what the topic had, until it is known whether the change could be stored. */
  #remember(namespace: string, topic: string): void {
    if (this.#disk === null || isSystemTopic(topic)) return;
    this.#unsettled.push({ namespace, topic, before: this.#roots.get(namespace)?.tree.get(topic) ?? null });
  }

  /** What was retained until now is on disk. */
  settled(): void {
    if (this.#unsettled.length > 0) this.#unsettled = [];
  }

  /** What was retained since settled() could not be stored: the topics have again what they had. */
  undo(): void {
    const changes = this.#unsettled.reverse();
    this.#unsettled = [];
    for (const { namespace, topic, before } of changes) {
      if (before === null) this.#delete(namespace, topic);
      else this.put(namespace, before);
    }
  }

  /** Keeps a message without asking for its limits, and without telling the disk. */
  put(namespace: string, message: Message): void {
    let root = this.#roots.get(namespace);
    if (root === undefined) {
      root = new Root();
      this.#roots.set(namespace, root);
    }
    const before = root.tree.get(message.topic);
    if (before !== null) this.quota.remove(namespace, partOf(before));
    this.quota.add(namespace, partOf(message));
    root.tree.set(message.topic, settle(message));
    root.version++;
    if (message.expiresAt !== 0) root.expiring.set(message.topic, message);
    else if (root.expiring.size > 0) root.expiring.delete(message.topic);
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

  /** The message of a topic that has not expired. */
  get(namespace: string, topic: string, now: number): Message | null {
    const message = this.#roots.get(namespace)?.tree.get(topic) ?? null;
    return message === null || message.isExpired(now) ? null : message;
  }

  /** Moves with each change of what is retained in the namespace. */
  version(namespace: string): number {
    return this.#roots.get(namespace)?.version ?? -1;
  }

  /** A walk over what matches a filter, expired messages too; null: nothing is retained in the namespace. */
  walk(namespace: string, filter: string): RetainedWalk | null {
    const root = this.#roots.get(namespace);
    return root === undefined ? null : new RetainedWalk(root.tree, filter);
  }

  /** Drops what has expired: in slices, between which the thread does what else there is. @param now milliseconds since the epoch */
  async sweep(now: number): Promise<void> {
    const pace = new Pace();
    for (const [namespace, root] of this.#roots) {
      for (const [topic, message] of root.expiring) {
        if (pace.isOver) await pace.next();
        if (!message.isExpired(now) || root.expiring.get(topic) !== message) continue;
        this.#delete(namespace, topic);
        this.#disk?.deleteRetained(namespace, topic);
      }
    }
  }
}

export function isSystemTopic(topic: string): boolean {
  return topic.startsWith('$SYS/');
}

function partOf({ origin, topic, payload, forward }: Message): RetainedPart {
  return { origin, bytes: topic.length + payload.length + forward.length + MESSAGE_BYTES };
}
