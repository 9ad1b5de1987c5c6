/** Retained messages of a node, by namespace: a tree of topic levels, so that a wildcard filter visits only what it matches; very deep topics in a list. */

import { isDeep, matchesFilter } from '../../src/mqtt/topic.ts';
import type { Message } from '../routing/message.ts';

/** Retained messages kept, and what they may take together; the one that is over is refused and counted. */
const LIMITS = { messages: 1_000_000, bytes: 1024 * 1024 * 1024 };
/** What a message takes beside its topic, payload and properties, about. */
const MESSAGE_BYTES = 200;

class Level {
  readonly children = new Map<string, Level>();
  message: Message | null = null;
}

/** What is retained in one namespace. */
class Root {
  readonly top = new Level();
  /** of topics of more levels than the tree should have */
  readonly deep = new Map<string, Message>();

  get(topic: string): Message | null {
    if (isDeep(topic)) return this.deep.get(topic) ?? null;
    let level: Level | undefined = this.top;
    for (const part of topic.split('/')) {
      level = level.children.get(part);
      if (level === undefined) return null;
    }
    return level.message;
  }

  set(topic: string, message: Message): void {
    if (isDeep(topic)) {
      this.deep.set(topic, message);
      return;
    }
    let level = this.top;
    for (const part of topic.split('/')) {
      let next = level.children.get(part);
      if (next === undefined) {
        next = new Level();
        level.children.set(part, next);
      }
      level = next;
    }
    level.message = message;
  }

  /** False: nothing was there. */
  delete(topic: string): boolean {
    return isDeep(topic) ? this.deep.delete(topic) : this.#prune(this.top, topic.split('/'), 0);
  }

  #prune(level: Level, parts: string[], depth: number): boolean {
    const part = parts[depth];
    if (part === undefined) {
      if (level.message === null) return false;
      level.message = null;
      return true;
    }
    const child = level.children.get(part);
    if (child === undefined || !this.#prune(child, parts, depth + 1)) return false;
    if (child.message === null && child.children.size === 0) level.children.delete(part);
    return true;
  }

  match(filter: string): Message[] {
    const found: Message[] = [];
    // No further than the tree reaches, however long the filter is.
    this.#walk(this.top, filter.split('/'), 0, found);
    for (const [topic, message] of this.deep) if (matchesFilter(filter, topic)) found.push(message);
    return found;
  }

  #walk(level: Level, parts: string[], depth: number, found: Message[]): void {
    const part = parts[depth];
    if (part === undefined) {
      if (level.message !== null) found.push(level.message);
    } else if (part === '#') this.#collect(level, depth === 0, found);
    else if (part === '+') {
      for (const [name, child] of level.children) if (depth > 0 || !name.startsWith('$')) this.#walk(child, parts, depth + 1, found);
    } else {
      const child = level.children.get(part);
      if (child !== undefined) this.#walk(child, parts, depth + 1, found);
    }
  }

  #collect(level: Level, isTop: boolean, found: Message[]): void {
    if (level.message !== null) found.push(level.message);
    for (const [name, child] of level.children) if (!isTop || !name.startsWith('$')) this.#collect(child, false, found);
  }

  /** Every message, `$`-topics too. */
  all(): Message[] {
    const found = [...this.deep.values()];
    this.#collect(this.top, false, found);
    return found;
  }
}

/** Where retained messages are kept over a restart. */
export interface RetainedDisk {
  putRetained(namespace: string, message: Message): void;
  deleteRetained(namespace: string, topic: string): void;
}

export class RetainedStore {
  readonly #roots = new Map<string, Root>();
  readonly #disk: RetainedDisk | null;
  readonly #limits: typeof LIMITS;
  #size = 0;
  #bytes = 0;
  #refused = 0;

  constructor(disk: RetainedDisk | null, limits = LIMITS) {
    this.#disk = disk;
    this.#limits = limits;
  }

  /** Messages kept, and those refused since the start because the store was full. */
  count(): { messages: number; refused: number } {
    return { messages: this.#size, refused: this.#refused };
  }

  /** Takes a message with the RETAIN flag: an empty payload removes [MQTT-3.3.1-6], anything else replaces [MQTT-3.3.1-5]. */
  retain(namespace: string, message: Message): void {
    if (message.payload.length === 0) {
      if (this.#delete(namespace, message.topic)) this.#disk?.deleteRetained(namespace, message.topic);
      return;
    }
    // What the server says of itself is said again after a restart.
    if (this.put(namespace, message)) {
      if (!message.topic.startsWith('$SYS/')) this.#disk?.putRetained(namespace, message);
      return;
    }
    // The one before is no longer what the topic says.
    if (this.#delete(namespace, message.topic)) this.#disk?.deleteRetained(namespace, message.topic);
  }

  /** Keeps a message without telling the disk. False: there is no room for it; one that was there before still is. */
  put(namespace: string, message: Message): boolean {
    const root = this.#roots.get(namespace) ?? new Root();
    const before = root.get(message.topic);
    const size = this.#size + (before === null ? 1 : 0);
    const bytes = this.#bytes + sizeOf(message) - (before === null ? 0 : sizeOf(before));
    if (size > this.#limits.messages || bytes > this.#limits.bytes) {
      this.#refused++;
      return false;
    }
    this.#size = size;
    this.#bytes = bytes;
    this.#roots.set(namespace, root);
    root.set(message.topic, message.detach());
    return true;
  }

  #delete(namespace: string, topic: string): boolean {
    const root = this.#roots.get(namespace);
    const before = root?.get(topic) ?? null;
    if (root === undefined || before === null) return false;
    root.delete(topic);
    this.#size--;
    this.#bytes -= sizeOf(before);
    return true;
  }

  /** Messages that match the filter and have not expired. A leading wildcard does not match `$`-topics [MQTT-4.7.2-1]. */
  match(namespace: string, filter: string, now: number): Message[] {
    const found = this.#roots.get(namespace)?.match(filter) ?? [];
    return found.filter((message) => !message.isExpired(now));
  }

  /** Drops what has expired. */
  sweep(now: number): void {
    for (const [namespace, root] of this.#roots) {
      for (const message of root.all()) {
        if (!message.isExpired(now)) continue;
        this.#delete(namespace, message.topic);
        this.#disk?.deleteRetained(namespace, message.topic);
      }
    }
  }
}

function sizeOf({ topic, payload, forward }: Message): number {
  return topic.length + payload.length + forward.length + MESSAGE_BYTES;
}
