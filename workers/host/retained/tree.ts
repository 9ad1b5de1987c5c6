/**
 * Retained messages of one namespace: a tree of topic levels, so that a wildcard filter visits only its matches. A list holds very deep
 * topics.
 */

import { isDeep, matchesFilter } from '../../../src/mqtt/topic.ts';
import type { Message } from '../../shared/messages/message.ts';

/** One topic level. Most levels have no children and need no map. */
class Level {
  children: Map<string, Level> | null = null;
  message: Message | null = null;
}

/** The retained messages of one namespace. */
export class RetainedTree {
  readonly top = new Level();
  /** topics with more levels than the tree allows */
  readonly deep = new Map<string, Message>();

  get(topic: string): Message | null {
    if (isDeep(topic)) return this.deep.get(topic) ?? null;
    let level: Level | undefined = this.top;
    for (const part of topic.split('/')) {
      level = level.children?.get(part);
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
      level.children ??= new Map();
      let next = level.children.get(part);
      if (next === undefined) {
        next = new Level();
        level.children.set(part, next);
      }
      level = next;
    }
    level.message = message;
  }

  /** False when the topic had no message. */
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
    const child = level.children?.get(part);
    if (child === undefined || !this.#prune(child, parts, depth + 1)) return false;
    if (child.message === null && (child.children === null || child.children.size === 0)) level.children!.delete(part);
    return true;
  }
}

/** Children of a level that the walk has not visited. */
interface Frame {
  readonly children: IterableIterator<[string, Level]>;
  /** index of the filter level to compare with */
  readonly depth: number;
  /** a `#` stands above: everything matches */
  readonly isWhole: boolean;
  /** topics that begin with `$` do not match a leading wildcard [MQTT-4.7.2-1] */
  readonly isTop: boolean;
}

/**
 * Walks over the messages that match a filter, step by step. A topic that stays in the tree for the whole walk is visited once, whatever is
 * added and removed between two steps. A topic that is added during the walk may be visited or not.
 */
export class RetainedWalk {
  readonly #filter: string;
  readonly #parts: string[];
  readonly #frames: Frame[] = [];
  readonly #top: Level;
  readonly #deep: IterableIterator<Message>;
  #hasBegun = false;

  constructor(tree: RetainedTree, filter: string) {
    this.#filter = filter;
    // The walk goes no deeper than the tree, however long the filter is.
    this.#parts = filter.split('/');
    this.#top = tree.top;
    this.#deep = tree.deep.values();
  }

  /** @returns a matching message; null when this step found none; undefined at the end of the walk */
  step(): Message | null | undefined {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      return this.#enter(this.#top, 0, false);
    }
    const frame = this.#frames.at(-1);
    if (frame === undefined) return this.#stepDeep();
    const next = frame.children.next();
    if (next.done === true) {
      this.#frames.pop();
      return null;
    }
    const [name, level] = next.value;
    return frame.isTop && name.startsWith('$') ? null : this.#enter(level, frame.depth, frame.isWhole);
  }

  #stepDeep(): Message | null | undefined {
    const next = this.#deep.next();
    if (next.done === true) return undefined;
    return matchesFilter(this.#filter, next.value.topic) ? next.value : null;
  }

  #enter(start: Level, startDepth: number, isWhole: boolean): Message | null {
    let level = start;
    let depth = startDepth;
    while (!isWhole) {
      const part = this.#parts[depth];
      if (part === undefined) return level.message;
      if (part === '#') break;
      if (part === '+') {
        this.#push(level, depth + 1, false, depth === 0);
        return null;
      }
      const child = level.children?.get(part);
      if (child === undefined) return null;
      level = child;
      depth++;
    }
    this.#push(level, depth, true, !isWhole && depth === 0);
    return level.message;
  }

  #push(level: Level, depth: number, isWhole: boolean, isTop: boolean): void {
    if (level.children !== null) this.#frames.push({ children: level.children.entries(), depth, isWhole, isTop });
  }
}
