/** A map that evicts its oldest entry when a new one would exceed the limit. */

/** An entry's age counts from the last `set` of its key; `get` does not make it younger. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #max: number;

  /** @param max entries at once, 1.. */
  constructor(max: number) {
    super();
    this.#max = max;
  }

  override set(key: K, value: V): this {
    this.delete(key);
    if (this.size >= this.#max) this.delete(this.keys().next().value as K);
    return super.set(key, value);
  }
}
