/** Gathers refused requests, so that a flood of them makes few entries: the first of each kind at once, the others as a count. */

import { steadyNow } from '../../kernel/clock.ts';
import type { AuditRecord } from './entry.ts';

/** Length of a window. */
export const WINDOW_MS = 600_000;
/** Different refusals of a window that have entries of their own. */
const DIFFERENT_MAX = 20;

export class RefusalWindow {
  readonly #write: (record: AuditRecord) => void;
  /** by what they have in common: the newest that has no entry yet, with its count */
  readonly #repeated = new Map<string, AuditRecord | null>();
  #others: AuditRecord | null = null;
  #until = 0;

  /** @param write takes an entry */
  constructor(write: (record: AuditRecord) => void) {
    this.#write = write;
  }

  note(record: AuditRecord): void {
    if (steadyNow() >= this.#until) this.flush();
    const { actor, address, action, status } = record;
    const key = JSON.stringify([actor, address, action, status]);
    const known = this.#repeated.get(key);
    if (known !== undefined) this.#repeated.set(key, { ...record, count: (known?.count ?? 0) + 1 });
    else if (this.#repeated.size < DIFFERENT_MAX) {
      this.#repeated.set(key, null);
      this.#write(record);
    } else this.#others = { ...record, actor: null, address: null, action: 'others', about: {}, count: (this.#others?.count ?? 0) + 1 };
  }

  /** Writes what was counted, and begins a window. */
  flush(): void {
    for (const record of this.#repeated.values()) if (record !== null) this.#write(record);
    if (this.#others !== null) this.#write(this.#others);
    this.#repeated.clear();
    this.#others = null;
    this.#until = steadyNow() + WINDOW_MS;
  }
}
