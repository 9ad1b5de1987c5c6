/** Topic filters of one namespace with their values: exact filters in a map, wildcard filters in a tree of levels, very deep ones in a list. */

import { isDeep, matchesFilter } from '../../../src/mqtt/topic.ts';

/** A node that may hold the value of one filter. */
class Level<T> {
  /** null: no level below */
  children: Map<string, Level<T>> | null = null;
  plus: Level<T> | null = null;
  /** value of the filter that ends here */
  value: T | null = null;
  /** value of the filter that ends with # below this node */
  hash: T | null = null;

  get isEmpty(): boolean {
    return this.value === null && this.hash === null && this.plus === null && this.children === null;
  }
}

/** Filters → values. Keys are latin1 forms: `/ + # $` are ASCII, so the levels are split in the same places. */
export class SubscriptionTree<T> {
  readonly #exact = new Map<string, T>();
  readonly #root = new Level<T>();
  /** wildcard filters with too many levels for the tree */
  readonly #deep = new Map<string, T>();
  #wildcards = 0;

  get(filter: string): T | undefined {
    if (!isWildcard(filter)) return this.#exact.get(filter);
    if (isDeep(filter)) return this.#deep.get(filter);
    let level: Level<T> | null | undefined = this.#root;
    for (const part of filter.split('/')) {
      if (part === '#') return level.hash ?? undefined;
      level = part === '+' ? level.plus : level.children?.get(part);
      if (!level) return undefined;
    }
    return level.value ?? undefined;
  }

  set(filter: string, value: T): void {
    if (!isWildcard(filter)) {
      this.#exact.set(filter, value);
      return;
    }
    if (isDeep(filter)) {
      this.#deep.set(filter, value);
      return;
    }
    if (this.get(filter) === undefined) this.#wildcards++;
    let level = this.#root;
    for (const part of filter.split('/')) {
      if (part === '#') {
        level.hash = value;
        return;
      }
      let next: Level<T> | null | undefined = part === '+' ? level.plus : level.children?.get(part);
      if (!next) {
        next = new Level<T>();
        if (part === '+') level.plus = next;
        else {
          level.children ??= new Map();
          level.children.set(part, next);
        }
      }
      level = next;
    }
    level.value = value;
  }

  delete(filter: string): void {
    if (!isWildcard(filter)) {
      this.#exact.delete(filter);
      return;
    }
    if (this.#deep.delete(filter)) return;
    if (this.get(filter) === undefined) return;
    this.#wildcards--;
    this.#prune(this.#root, filter.split('/'), 0);
  }

  #prune(level: Level<T>, parts: string[], depth: number): void {
    const part = parts[depth];
    if (part === undefined) level.value = null;
    else if (part === '#') level.hash = null;
    else {
      const next = part === '+' ? level.plus! : level.children!.get(part)!;
      this.#prune(next, parts, depth + 1);
      if (!next.isEmpty) return;
      if (part === '+') level.plus = null;
      else if (level.children!.size > 1) level.children!.delete(part);
      else level.children = null;
    }
  }

  /** Adds the value of each matching filter to `found`. A leading wildcard does not match `$`-topics [MQTT-4.7.2-1]. */
  match(topic: string, found: T[]): void {
    const exact = this.#exact.get(topic);
    if (exact !== undefined) found.push(exact);
    for (const [filter, value] of this.#deep) if (matchesFilter(filter, topic)) found.push(value);
    if (this.#wildcards === 0) return;
    const parts = topic.split('/');
    const root = this.#root;
    if (topic.charCodeAt(0) === 0x24) {
      const first = root.children?.get(parts[0]!);
      if (first) this.#walk(first, parts, 1, found);
      return;
    }
    this.#walk(root, parts, 0, found);
  }

  #walk(level: Level<T>, parts: string[], depth: number, found: T[]): void {
    if (level.hash !== null) found.push(level.hash);
    if (depth === parts.length) {
      if (level.value !== null) found.push(level.value);
      return;
    }
    const child = level.children?.get(parts[depth]!);
    if (child !== undefined) this.#walk(child, parts, depth + 1, found);
    if (level.plus !== null) this.#walk(level.plus, parts, depth + 1, found);
  }

  /** Every filter with its value. */
  *entries(): IterableIterator<[string, T]> {
    yield* this.#exact;
    yield* this.#deep;
    yield* this.#below(this.#root, '', true);
  }

  *#below(level: Level<T>, prefix: string, isRoot: boolean): IterableIterator<[string, T]> {
    const join = isRoot ? '' : `${prefix}/`;
    if (level.value !== null) yield [prefix, level.value];
    if (level.hash !== null) yield [`${join}#`, level.hash];
    if (level.plus !== null) yield* this.#below(level.plus, `${join}+`, false);
    for (const [part, child] of level.children ?? []) yield* this.#below(child, join + part, false);
  }
}

/** True when the filter has a wildcard. A valid filter holds + and # only as wildcards [MQTT-4.7.1-1]. */
export function isWildcard(filter: string): boolean {
  return filter.includes('#') || filter.includes('+');
}
