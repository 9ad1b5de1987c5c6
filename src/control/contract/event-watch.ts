/** The events of this node for watchers. */

/** An event for watchers. `id` grows by 1 with each event; a restarted node begins at another, random value. */
export type WatchEvent = { id: number; at: string; node: string } & (
  | { event: 'state'; endpoint: string; port: number; state: string; revision: number; reason: string | null }
  | { event: 'revision'; revision: number; changes: { id: string; port: number; change: 'added' | 'updated' | 'removed' }[] }
  | { event: 'drain'; endpoint: string; port: number; total: number; left: number; until: string; ended: boolean }
);

export interface Watcher {
  onEvent(event: WatchEvent): void;
  /** called when the node stops */
  onEnd(): void;
}

export interface WatchStart {
  /** identifier of the newest event */
  lastId: number;
  /** false: the events right after `after` are no longer kept */
  isComplete: boolean;
  /** the events since `after`, oldest first */
  missed: WatchEvent[];
  stop(): void;
}

export interface EventWatch {
  /** Events after `after`; null: only future events. @throws FluxError `unavailable` when there are too many watchers */
  subscribe(after: number | null, watcher: Watcher): WatchStart;
  /** counts a watcher that was cut off because it did not read */
  countSlow(): void;
}
