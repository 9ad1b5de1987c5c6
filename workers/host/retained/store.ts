/** Retained messages of a node, by namespace, within their quotas. */

import { totalmem } from 'node:os';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { isSystemTopic } from '../../../src/mqtt/topic.ts';
import type { Message } from '../../shared/messages/message.ts';
import { settle } from '../../shared/wire/page.ts';
import { type NodeLimits, type RetainedPart, RetainedQuota, type RetainedRefusal, type RetainedUse } from './quota.ts';
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
}

/** The present messages, and the refusals since the start. */
export interface RetainedCount extends RetainedUse {
  refused: number;
  namespaces: ({ namespace: string } & RetainedUse)[];
  endpoints: ({ endpoint: string; refused: number } & RetainedUse)[];
}

/** The retained messages of one namespace. */
class Root {
  readonly tree = new RetainedTree();
  /** messages that expire, by topic */
  readonly expiring = new Map<string, Message>();
  /** increases with each change */
  version = 0;
}

export class RetainedStore {
  readonly #roots = new Map<string, Root>();
  readonly #disk: RetainedDisk | null;
  readonly quota: RetainedQuota;
  /** changes of one loop iteration that are not known to be on disk */
  #unsettled: { namespace: string; topic: string; before: Message | null }[] = [];
  /** endpoint id → refused messages; '': the server itself */
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

  /** The limit that the message would exceed; null when it would be kept. */
  refusal(namespace: string, message: Message): RetainedRefusal | null {
    // The server's own messages are few, and the server bounds them itself.
    if (message.payload.length === 0 || isSystemTopic(message.topic)) return null;
    const before = this.#roots.get(namespace)?.tree.get(message.topic) ?? null;
    return this.quota.refusal(namespace, partOf(message), before === null ? null : partOf(before));
  }

  /**
   * Handles a message with the RETAIN flag: an empty payload removes [MQTT-3.3.1-6], any other payload replaces [MQTT-3.3.1-5].
   * @returns the limit that it exceeds, in which case the topic's former message stays; null when the message is kept
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
    // The server publishes its own messages again after a restart.
    if (this.#disk !== null && !isSystemTopic(message.topic)) {
      this.#disk.putRetained(namespace, message);
      // An empty list means that the write failed at once and undo() has run.
      if (this.#unsettled.length === 0) return null;
    }
    this.put(namespace, message);
    return null;
  }

  /** Notes the topic's former message until the result of the change is known. */
  #remember(namespace: string, topic: string): void {
    if (this.#disk === null || isSystemTopic(topic)) return;
    this.#unsettled.push({ namespace, topic, before: this.#roots.get(namespace)?.tree.get(topic) ?? null });
  }

  /** Confirms that all changes so far are on disk. */
  settled(): void {
    if (this.#unsettled.length > 0) this.#unsettled = [];
  }

  /** Reverts the changes since settled(), which could not be stored: the topics get their former messages back. */
  undo(): void {
    const changes = this.#unsettled.reverse();
    this.#unsettled = [];
    for (const { namespace, topic, before } of changes) {
      if (before === null) this.#delete(namespace, topic);
      else this.put(namespace, before);
    }
  }

  /** Keeps a message, without a check of the limits and without a write to disk. */
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

  /** Drops expired messages in slices, between which the thread does other work. @param now steady milliseconds */
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

function partOf({ origin, topic, payload, forward }: Message): RetainedPart {
  return { origin, bytes: topic.length + payload.length + forward.length + MESSAGE_BYTES };
}
