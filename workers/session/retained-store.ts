/** Retained messages of a node, by namespace: a tree of topic levels, so that a wildcard filter visits only what it matches. */

import type { Message } from '../routing/message.ts';

/** Retained messages kept; the one that is over is refused and counted. */
const RETAINED_MAX = 1_000_000;

class Level {
  readonly children = new Map<string, Level>();
  message: Message | null = null;
}

/** Where retained messages are kept over a restart. */
export interface RetainedDisk {
  putRetained(namespace: string, message: Message): void;
  deleteRetained(namespace: string, topic: string): void;
}

export class RetainedStore {
  readonly #roots = new Map<string, Level>();
  readonly #disk: RetainedDisk | null;
  readonly #max: number;
  #size = 0;
  #refused = 0;

  constructor(disk: RetainedDisk | null, max = RETAINED_MAX) {
    this.#disk = disk;
    this.#max = max;
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
    if (this.put(namespace, message) && !message.topic.startsWith('$SYS/')) this.#disk?.putRetained(namespace, message);
  }

  /** Keeps a message without telling the disk. */
  put(namespace: string, message: Message): boolean {
    let level = this.#roots.get(namespace) ?? new Level();
    this.#roots.set(namespace, level);
    for (const part of message.topic.split('/')) {
      let next: Level | undefined = level.children.get(part);
      if (next === undefined) {
        if (this.#size >= this.#max) return this.#refuse();
        next = new Level();
        level.children.set(part, next);
      }
      level = next;
    }
    if (level.message === null) {
      if (this.#size >= this.#max) return this.#refuse();
      this.#size++;
    }
    level.message = message.detach();
    return true;
  }

  #refuse(): false {
    this.#refused++;
    return false;
  }

  #delete(namespace: string, topic: string): boolean {
    const root = this.#roots.get(namespace);
    return root !== undefined && this.#prune(root, topic.split('/'), 0);
  }

  #prune(level: Level, parts: string[], depth: number): boolean {
    const part = parts[depth];
    if (part === undefined) {
      if (level.message === null) return false;
      level.message = null;
      this.#size--;
      return true;
    }
    const child = level.children.get(part);
    if (child === undefined || !this.#prune(child, parts, depth + 1)) return false;
    if (child.message === null && child.children.size === 0) level.children.delete(part);
    return true;
  }

  /** Messages that match the filter and have not expired. A leading wildcard does not match `$`-topics [MQTT-4.7.2-1]. */
  match(namespace: string, filter: string, now: number): Message[] {
    const found: Message[] = [];
    const root = this.#roots.get(namespace);
    if (root !== undefined) this.#walk(root, filter.split('/'), 0, found);
    return found.filter((message) => !message.isExpired(now));
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

  #collect(level: Level, isRoot: boolean, found: Message[]): void {
    if (level.message !== null) found.push(level.message);
    for (const [name, child] of level.children) if (!isRoot || !name.startsWith('$')) this.#collect(child, false, found);
  }

  /** Drops what has expired. */
  sweep(now: number): void {
    for (const [namespace, root] of this.#roots) {
      const all: Message[] = [];
      for (const child of root.children.values()) this.#collect(child, false, all);
      for (const message of all) {
        if (!message.isExpired(now)) continue;
        this.#delete(namespace, message.topic);
        this.#disk?.deleteRetained(namespace, message.topic);
      }
    }
  }
}
