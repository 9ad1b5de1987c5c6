/** Changes that are undone unless they are confirmed in time, and the keys that nobody may change while they wait. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import { FluxError } from '../../kernel/errors.ts';
import { timeAway } from '../../kernel/lasting-clock.ts';
import type { HistoryRow, PendingConfirm } from '../../storage/endpoint-store.ts';

/** A revision that waits. */
export interface WaitingChange extends PendingConfirm {
  /** moment of the undoing by steadyNow(); `until` is for display */
  dueAt: number;
  /** the changed endpoints */
  ids: string[];
  /** ids of the changed endpoints, and the ports that they left and took */
  keys: ReadonlySet<string>;
}

/** The longest wait of a change for its confirmation (`confirmWithin`), milliseconds. */
const WAIT_MS_MAX = 86_400_000;

/** Steady moment of `until`, by the wall clock's present reading; at most a day away. */
export function dueIn(until: number): number {
  return steadyNow() + Math.min(WAIT_MS_MAX, Math.max(0, until - wallNow()));
}

/**
 * Moment of the undoing of a revision that this process finds in the store. The clock of its maker gives the span between the change and
 * `until`. Time before this process counts only for a change of this node, because the clocks of two nodes may differ by more than the
 * span. The change of another node gets its whole span from now on; that node, if it lives, undoes it earlier.
 */
function dueAgain(until: number, made: HistoryRow | undefined, node: string): number {
  if (made === undefined) return dueIn(until);
  const span = Math.min(WAIT_MS_MAX, Math.max(0, until - made.at));
  const away = made.node === node ? timeAway(made.at, wallNow()) : 0;
  return steadyNow() + Math.max(0, span - away);
}

/** The id of an endpoint, and the ports that it leaves and takes. */
export function lockKeys(id: string, before: Endpoint | null, after: Endpoint | null): string[] {
  return [id, ...[before, after].flatMap((endpoint) => (endpoint === null ? [] : [`port ${endpoint.port}`]))];
}

export class WaitingChanges {
  readonly #changed = new Emitter();
  /** The list has changed. */
  readonly changed: Subscribable = this.#changed;
  readonly #byRevision = new Map<number, WaitingChange>();
  readonly #node: string;

  /** @param node name of this node in the history */
  constructor(node: string) {
    this.#node = node;
  }

  /** Sorted by revision. */
  list(): WaitingChange[] {
    return [...this.#byRevision.values()].sort((a, b) => a.revision - b.revision);
  }

  /**
   * Takes over the list of the store. A revision whose rows cannot be read now is taken over the next time.
   * @param rowsOf returns the history rows of a new revision; null when the store is away
   */
  async replace(pending: PendingConfirm[], rowsOf: (revision: number) => Promise<HistoryRow[] | null>): Promise<void> {
    const unknown = pending.filter(({ revision }) => !this.#byRevision.has(revision));
    const found = await Promise.all(
      unknown.map(async ({ revision, until }): Promise<WaitingChange[]> => {
        const rows = await rowsOf(revision);
        if (rows === null) return [];
        const keys = new Set(rows.flatMap((row) => lockKeys(row.id, row.before, row.after)));
        const dueAt = dueAgain(until, rows[0], this.#node);
        return [{ revision, until, dueAt, ids: rows.map(({ id }) => id), keys }];
      }),
    );
    const gone = [...this.#byRevision.keys()].filter((revision) => !pending.some((one) => one.revision === revision));
    if (found.length === 0 && gone.length === 0) return;
    for (const revision of gone) this.#byRevision.delete(revision);
    for (const change of found.flat()) this.#byRevision.set(change.revision, change);
    this.#changed.emit();
  }

  add(change: WaitingChange): void {
    this.#byRevision.set(change.revision, change);
    this.#changed.emit();
  }

  /** Removes a revision that was confirmed or undone. */
  settle(revision: number): void {
    if (this.#byRevision.delete(revision)) this.#changed.emit();
  }

  /** False when a waiting revision changed one of `keys`; the revision under undoing does not count. */
  isFree(keys: string[], undone: number | null): boolean {
    return [...this.#byRevision.values()].every(({ revision, keys: held }) => revision === undone || !keys.some((key) => held.has(key)));
  }

  /** @throws FluxError `busy` when a waiting revision changed one of `keys`; the revision under undoing does not count */
  ensureFree(keys: string[], undone: number | null): void {
    for (const { revision, until, keys: held } of this.#byRevision.values()) {
      const key = keys.find((one) => revision !== undone && held.has(one));
      if (key === undefined) continue;
      const what = key.startsWith('port ') ? key : `endpoint ${key}`;
      const message = `${what} was changed by revision ${revision}, which waits for its confirmation until ${new Date(until).toISOString()}: confirm it, or roll back to an earlier revision, first`;
      throw new FluxError('busy', message);
    }
  }

  /** The waiting revision that a rollback of exactly these endpoints to an earlier `revision` undoes; null for none, or part of one. */
  undoneBy(revision: number, ids: ReadonlySet<string>): number | null {
    const touched = this.list().filter((change) => change.ids.some((id) => ids.has(id)));
    const [only] = touched;
    if (only === undefined || touched.length > 1 || revision >= only.revision) return null;
    return only.ids.every((id) => ids.has(id)) ? only.revision : null;
  }
}
