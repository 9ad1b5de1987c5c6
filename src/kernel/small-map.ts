/** A map for keys that mostly come alone: one entry costs two fields and no hash table. */

export class SmallMap<K, V> {
  #key: K | undefined;
  #value: V | undefined;
  /** all entries, from the second on */
  #map: Map<K, V> | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(key: K): boolean {
    return this.#map !== null ? this.#map.has(key) : this.#size === 1 && this.#key === key;
  }

  get(key: K): V | undefined {
    if (this.#map !== null) return this.#map.get(key);
    return this.#size === 1 && this.#key === key ? this.#value : undefined;
  }

  set(key: K, value: V): void {
    if (this.#map === null) {
      if (this.#size === 0 || this.#key === key) {
        this.#key = key;
        this.#value = value;
        this.#size = 1;
        return;
      }
      this.#map = new Map([[this.#key as K, this.#value as V]]);
      this.#key = this.#value = undefined;
    }
    this.#map.set(key, value);
    this.#size = this.#map.size;
  }

  /** Returns false when the key was not in the map. */
  delete(key: K): boolean {
    if (!this.has(key)) return false;
    this.#size--;
    if (this.#map !== null) this.#map.delete(key);
    else this.#key = this.#value = undefined;
    return true;
  }

  /** In the order of insertion. */
  forEach(visit: (value: V, key: K) => void): void {
    if (this.#map !== null) this.#map.forEach(visit);
    else if (this.#size === 1) visit(this.#value as V, this.#key as K);
  }

  /** A copy of the keys in the order of insertion. */
  keys(): K[] {
    const keys: K[] = [];
    this.forEach((_, key) => {
      keys.push(key);
    });
    return keys;
  }
}
