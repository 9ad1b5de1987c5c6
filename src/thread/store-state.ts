/** Shared memory in which the session worker publishes whether messages can be stored, and why not. Every thread reads it. */

/** Causes for which messages cannot be stored; index 0: they can be stored. Causes are appended, never moved. */
const CAUSES = [
  null,
  'disk full',
  'disk quota exceeded',
  'read-only file system',
  'I/O error',
  'database locked',
  'database damaged',
  'no permission',
] as const;

export type StoreCause = NonNullable<(typeof CAUSES)[number]>;

const SLOTS = { cause: 0, episodes: 1, refused: 2, lost: 3 } as const;

/** Failures to store messages and changes, since the start. */
export interface StoreCounts {
  /** how often storing began to fail */
  episodes: number;
  /** messages and sessions refused because they could not be stored */
  refused: number;
  /** changes of sessions given up because too many waited to be stored */
  lost: number;
}

export function createStoreState(): SharedArrayBuffer {
  return new SharedArrayBuffer(Object.keys(SLOTS).length * Int32Array.BYTES_PER_ELEMENT);
}

/** The state as one thread sees and changes it. */
export class StoreState {
  readonly #slots: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#slots = new Int32Array(memory);
  }

  get isFailing(): boolean {
    return Atomics.load(this.#slots, SLOTS.cause) !== 0;
  }

  /** Null: messages can be stored. */
  get cause(): StoreCause | null {
    return CAUSES[Atomics.load(this.#slots, SLOTS.cause)] ?? null;
  }

  /** To be called by the session worker alone. */
  set(cause: StoreCause | null): void {
    const before = Atomics.exchange(this.#slots, SLOTS.cause, CAUSES.indexOf(cause));
    if (before === 0 && cause !== null) Atomics.add(this.#slots, SLOTS.episodes, 1);
  }

  countRefused(): void {
    Atomics.add(this.#slots, SLOTS.refused, 1);
  }

  countLost(): void {
    Atomics.add(this.#slots, SLOTS.lost, 1);
  }

  get counts(): StoreCounts {
    const [, episodes = 0, refused = 0, lost = 0] = this.#slots;
    return { episodes, refused, lost };
  }
}
