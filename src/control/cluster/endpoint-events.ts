/** Publishes events about endpoints over NATS: each change by the node that wrote it, each result by every node. */

import type { WatchEvent } from '../../answers/watch.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { Reconciler } from '../listening/reconciler.ts';
import type { Committed, DesiredState } from '../state/desired-state.ts';

export interface EndpointEventsOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  reconciler: Reconciler;
  /** @param event as in `endpoint.added` */
  publish: (event: string, body: Record<string, unknown>) => void;
}

/** The last published result of an endpoint on this node. */
interface PublishedResult {
  port: number;
  revision: number;
  /** null: it is applied */
  problem: string | null;
}

export class EndpointEvents {
  readonly #options: EndpointEventsOptions;
  readonly #published = new Map<string, PublishedResult>();

  constructor(options: EndpointEventsOptions) {
    this.#options = options;
    const { desired } = options;
    desired.committed.subscribe((change) => this.#committed(change));
    desired.idle.subscribe((keys) => {
      // Some keys of the watch are ports, not ids.
      for (const key of keys) if (desired.byId(key) !== undefined || this.#published.has(key)) this.look(key);
    });
  }

  /** A change is in the store. Only the process that wrote it publishes the event, so each event comes once. */
  #committed({ revision, meta, changes }: Committed): void {
    const { action, actor, source, requestId, reason } = meta;
    for (const { id, port, kind } of changes)
      this.#options.publish(`endpoint.${kind}`, { id, port, revision, action, actor, source, requestId, reason });
  }

  /** An endpoint of this node may have reached another revision, or failed to. */
  look(id: string): void {
    const { desired, supervisors, reconciler } = this.#options;
    const stored = desired.byId(id);
    const published = this.#published.get(id);
    const supervisor = supervisors.peek(id);
    if (stored === undefined) {
      if (published !== undefined && reconciler.isInStep(id) && !desired.isApplying(id)) this.#gone(id, published);
      return;
    }
    const { revision, endpoint } = stored;
    const problem = reconciler.problemOf(id) ?? (supervisor?.state === 'failed' ? (supervisor.lastError ?? 'unknown') : null);
    if (published?.revision === revision && published.problem === problem) return;
    const { port, enabled } = endpoint;
    const isThere = !enabled || supervisor?.state === 'running';
    if (problem !== null) this.#publishResult('failed', id, { port, revision, problem });
    else if (isThere && !desired.isApplying(id) && reconciler.isInStep(id)) this.#publishResult('applied', id, { port, revision, problem });
  }

  /** After a read of the store: endpoints may have been added, changed or removed. */
  lookAll(): void {
    const { desired } = this.#options;
    for (const { endpoint } of desired.list()) this.look(endpoint.id);
    for (const id of this.#published.keys()) if (desired.byId(id) === undefined) this.look(id);
  }

  /** Publishes states as the HTTP watch has them. */
  watched(event: WatchEvent): void {
    if (event.event !== 'state') return;
    const { endpoint: id, port, state, revision, reason } = event;
    this.#options.publish('endpoint.state', { id, port, state, revision, reason });
  }

  #publishResult(event: 'applied' | 'failed', id: string, published: PublishedResult): void {
    this.#published.set(id, published);
    const { port, revision, problem: reason } = published;
    this.#options.publish(`endpoint.${event}`, { id, port, revision, reason, removed: false });
  }

  /** No listener of the endpoint is left. */
  #gone(id: string, { port }: PublishedResult): void {
    this.#published.delete(id);
    this.#options.publish('endpoint.applied', { id, port, revision: this.#options.desired.revision, reason: null, removed: true });
  }
}
