/** The events of this node for watchers. */

import type { WatchEvent } from '../../answers/watch.ts';

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
