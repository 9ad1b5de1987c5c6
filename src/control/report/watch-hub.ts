/** Reports the events of this node's endpoints to watchers: states, revisions, drains. Keeps the last thousand events. */

import { randomInt } from 'node:crypto';
import type { WatchEvent } from '../../answers/watch.ts';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { EndpointState } from '../contract/answers.ts';
import type { EventWatch, Watcher, WatchStart } from '../contract/event-watch.ts';

/** Events kept for a watcher that reconnects. */
const KEPT_MAX = 1_000;
const WATCHERS_MAX = 256;

/** The part of a supervisor that events report. */
export interface Watched {
  readonly id: string;
  readonly state: EndpointState;
  readonly lastError: string | null;
  readonly draining: { total: number; left: number; until: string } | null;
  readonly last: { endpoint: { port: number }; revision: number } | null;
}

type NewEvent = WatchEvent extends infer E ? (E extends WatchEvent ? Omit<E, 'id' | 'at' | 'node'> : never) : never;

export class WatchHub implements EventWatch {
  readonly #node: string;
  readonly #events: WatchEvent[] = [];
  readonly #watchers = new Set<Watcher>();
  /** last reported state of each endpoint */
  readonly #states = new Map<string, string>();
  readonly #drains = new Map<string, { total: number; left: number; until: string }>();
  #known = new Map<string, { port: number; revision: number }>();
  #isReading = false;
  /**
   * Starts at a random value. A start from the wall clock could repeat after a clock change, and an identifier of an earlier process
   * would then pass for one of this process.
   */
  #lastId = randomInt(2 ** 32) * 2 ** 20;
  #slowWatchers = 0;

  constructor(node: string) {
    this.#node = node;
  }

  /** Watchers that were cut off because they did not read. */
  get slowWatchers(): number {
    return this.#slowWatchers;
  }

  /** Counts a watcher that was cut off because it did not read. */
  countSlow(): void {
    this.#slowWatchers++;
  }

  /**
   * Adds a watcher. The result holds the events after `after`; the watcher gets later events as they happen.
   * @param after identifier of the last event that the watcher saw; null: only events from now on
   * @throws FluxError `unavailable` when the limit of watchers is reached
   */
  subscribe(after: number | null, watcher: Watcher): WatchStart {
    if (this.#watchers.size >= WATCHERS_MAX) throw new FluxError('unavailable', 'there are too many watchers');
    const oldest = this.#events[0]?.id ?? this.#lastId + 1;
    const isKnown = after === null || (after >= oldest - 1 && after <= this.#lastId);
    const missed = after === null ? [] : this.#events.filter((event) => !isKnown || event.id > after);
    this.#watchers.add(watcher);
    return { lastId: this.#lastId, isComplete: isKnown, missed, stop: () => void this.#watchers.delete(watcher) };
  }

  /** Ends every watcher. */
  close(): void {
    for (const watcher of [...this.#watchers]) watcher.onEnd();
    this.#watchers.clear();
  }

  /** To be called when the configuration may have changed. */
  configured(endpoints: StoredEndpoint[], revision: number): void {
    const now = new Map(endpoints.map((stored) => [stored.endpoint.id, { port: stored.endpoint.port, revision: stored.revision }]));
    const changes = [...now].flatMap(([id, { port, revision: at }]) => {
      const before = this.#known.get(id);
      if (before?.revision === at) return [];
      return [{ id, port, change: before === undefined ? ('added' as const) : ('updated' as const) }];
    });
    const removed = [...this.#known].flatMap(([id, { port }]) => (now.has(id) ? [] : [{ id, port, change: 'removed' as const }]));
    this.#known = now;
    const isFirst = !this.#isReading;
    this.#isReading = true;
    if (!isFirst && changes.length + removed.length > 0)
      this.#broadcast({ event: 'revision', revision, changes: [...changes, ...removed] });
  }

  /** To be called when the state or the drain of an endpoint may have changed. */
  look(supervisor: Watched): void {
    const { id, state, lastError, draining, last } = supervisor;
    if (last === null) return;
    const { port } = last.endpoint;
    const said = `${state} ${port} ${last.revision} ${lastError ?? ''}`;
    if (this.#states.get(id) !== said) {
      this.#states.set(id, said);
      this.#broadcast({ event: 'state', endpoint: id, port, state, revision: last.revision, reason: lastError });
    }
    const before = this.#drains.get(id);
    if (draining === null && before === undefined) return;
    if (draining === null) {
      this.#drains.delete(id);
      this.#broadcast({ event: 'drain', endpoint: id, port, ...before!, left: 0, ended: true });
    } else if (before === undefined || before.left !== draining.left || before.total !== draining.total) {
      this.#drains.set(id, draining);
      this.#broadcast({ event: 'drain', endpoint: id, port, ...draining, ended: false });
    }
  }

  /** To be called when nothing of the endpoint runs any more. */
  forget(id: string): void {
    this.#states.delete(id);
  }

  #broadcast(news: NewEvent): void {
    const event = { ...news, id: ++this.#lastId, at: new Date(wallNow()).toISOString(), node: this.#node } as WatchEvent;
    this.#events.push(event);
    if (this.#events.length > KEPT_MAX) this.#events.shift();
    for (const watcher of [...this.#watchers]) watcher.onEvent(event);
  }
}
