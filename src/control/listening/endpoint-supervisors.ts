/** The supervisors of this node by endpoint id: made on first use, dropped when nothing of them runs. */

import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { MetricsCollector } from '../../metrics/collect.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import { SharedPool } from '../workers/shared-pool.ts';
import type { ThreadSupervisor } from '../workers/thread-supervisor.ts';
import { EndpointSupervisor } from './endpoint-supervisor.ts';

export class EndpointSupervisors {
  readonly #changed = new Emitter<[supervisor: EndpointSupervisor]>();
  readonly #dropped = new Emitter<[id: string]>();
  /** The state of an endpoint may have changed. */
  readonly changed: Subscribable<[supervisor: EndpointSupervisor]> = this.#changed;
  /** Nothing of an endpoint runs any more, and its supervisor is dropped. */
  readonly dropped: Subscribable<[id: string]> = this.#dropped;
  readonly #byId = new Map<string, EndpointSupervisor>();
  readonly #threads: ThreadSupervisor;
  readonly #pool: SharedPool;
  readonly #collector: MetricsCollector;
  readonly #logger: Logger;

  constructor(threads: ThreadSupervisor, collector: MetricsCollector, logger: Logger) {
    this.#threads = threads;
    this.#pool = new SharedPool(threads);
    this.#collector = collector;
    this.#logger = logger;
    threads.lost.subscribe((worker, exit) => {
      for (const supervisor of this.#byId.values()) supervisor.lost(worker, exit);
    });
  }

  /** The supervisor of an endpoint. */
  of(id: string): EndpointSupervisor {
    let supervisor = this.#byId.get(id);
    if (supervisor === undefined) {
      const context = { threads: this.#threads, pool: this.#pool, counters: this.#collector.of(id), logger: this.#logger };
      supervisor = new EndpointSupervisor(id, context, (changed) => this.#changed.emit(changed));
      this.#byId.set(id, supervisor);
    }
    return supervisor;
  }

  /** The supervisor of an endpoint if it has been made and not been dropped. */
  peek(id: string): EndpointSupervisor | undefined {
    return this.#byId.get(id);
  }

  /** False for a thread that endpoints share, and for a thread without an endpoint’s role. */
  isReplaceable(worker: WorkerHandle): boolean {
    if (worker.boot.role === 'relay') return true;
    if (worker.boot.role !== 'endpoint') return false;
    return this.all().every((supervisor) => supervisor.isAlone(worker));
  }

  all(): EndpointSupervisor[] {
    return [...this.#byId.values()];
  }

  /** The supervisors that accept on each port: one, and several only while a change is under way. */
  byPort(): Map<number, EndpointSupervisor[]> {
    const holders = new Map<number, EndpointSupervisor[]>();
    for (const supervisor of this.#byId.values())
      for (const port of supervisor.ports) holders.set(port, [...(holders.get(port) ?? []), supervisor]);
    return holders;
  }

  /**
   * Closes lingering listeners that are not needed, and drops idle supervisors; to be called each second.
   * @param isKept true while the endpoint exists, or a change of it is under way
   */
  sweep(isKept: (id: string) => boolean): void {
    for (const [id, supervisor] of this.#byId) {
      supervisor.sweep();
      if (!supervisor.isIdle || isKept(id)) continue;
      this.#byId.delete(id);
      this.#dropped.emit(id);
    }
  }
}
