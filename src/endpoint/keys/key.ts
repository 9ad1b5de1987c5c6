/** An entry in the table of endpoint keys. */

import type { Value } from './value.ts';

/** How a change of a key takes effect (docs/endpoints.md). Ordered from mildest to hardest. */
export type Effect = 'none' | 'live' | 'admission' | 'handshake' | 'rebind' | 'fixed';

/** One key of an endpoint. Everything that is said about a key follows from its entry. */
export interface Key<T> {
  readonly value: Value<NonNullable<T>>;
  /** the value of an endpoint that does not name the key; null: not configured, or computed elsewhere as `defaultText` says */
  readonly default: T | ((port: number) => T);
  /** the default in the documents (Markdown), where it is not the value itself */
  readonly defaultText?: string;
  readonly effect: Effect;
  /** the effect in the documents, where one word does not say it all */
  readonly effectText?: string;
  /** what the value means, with its unit: one phrase of Markdown for the documents, OpenAPI and config.example.yaml */
  readonly description: string;
  /** the value in config.example.yaml, where it is not the default */
  readonly example?: unknown;
  /** values that the command line proposes, beside those of a boolean or a choice */
  readonly proposals?: readonly string[];
  /**
   * Answers mask the value, the store and exports seal it. `private-key`: only a text with a private key inside. Paths below the value
   * name the secrets of a structure; `*` means each element of a list, or each value of an object. In `templates` a text that is one
   * placeholder is no secret.
   */
  readonly secret?: 'always' | 'private-key' | { readonly below: readonly string[]; readonly templates?: readonly string[] };
}

/** Keys by name. */
export type KeyTable = Readonly<Record<string, Key<unknown>>>;

/** A key with options of its own, such as `serverOptions`. */
export interface KeyGroup<K extends KeyTable = KeyTable> {
  readonly keys: K;
  readonly effect: Effect;
  readonly effectText?: string;
  /** as for a key */
  readonly description: string;
  /** the page of docs/ with the options; without it each option has a row in docs/endpoints.md */
  readonly page?: string;
  /** the value in config.example.yaml; default: every option with its default */
  readonly example?: unknown;
}

/** Keys and groups by name. */
export type EntryTable = Readonly<Record<string, Key<unknown> | KeyGroup>>;

/** The type of an object with the keys of a table. */
export type ValuesOf<T> = {
  -readonly [K in keyof T]: T[K] extends Key<infer V> ? V : T[K] extends KeyGroup<infer G> ? ValuesOf<G> : never;
};

/** Declares a key whose value is never null. */
export function key<T>(
  entry: Omit<Key<T>, 'value' | 'default'> & { value: Value<T>; default: NoInfer<T> | ((port: number) => NoInfer<T>) },
): Key<T> {
  return entry as Key<T>;
}

/** Declares a key whose default is null: not configured. */
export function unset<T>(entry: Omit<Key<T>, 'default'> & { readonly value: Value<T> }): Key<T | null> {
  return { ...entry, default: null } as Key<T | null>;
}

export function isGroup(entry: Key<unknown> | KeyGroup): entry is KeyGroup {
  return 'keys' in entry;
}

/** The defaults of a table. */
export function defaultsOf<K extends EntryTable>(table: K, port: number): ValuesOf<K> {
  const values = Object.entries(table).map(([name, entry]): [string, unknown] => {
    if (isGroup(entry)) return [name, defaultsOf(entry.keys, port)];
    const { default: value } = entry;
    if (typeof value === 'function') return [name, (value as (port: number) => unknown)(port)];
    return [name, Array.isArray(value) ? [...value] : value];
  });
  return Object.fromEntries(values) as ValuesOf<K>;
}
