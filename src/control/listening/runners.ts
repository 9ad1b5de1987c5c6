/** The runners of this node by endpoint id: made on first use, dropped when nothing of them runs. */

import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { MetricsCollector } from '../../metrics/collect.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import { SharedPool } from '../workers/shared-pool.ts';
import type { Supervisor } from '../workers/supervisor.ts';
import { EndpointRunner } from './endpoint-runner.ts';

export class Runners {
  readonly #changed = new Emitter<[runner: EndpointRunner]>();
  readonly #dropped = new Emitter<[id: string]>();
  /** The state of an endpoint may have changed. */
  readonly changed: Subscribable<[runner: EndpointRunner]> = this.#changed;
  /** Nothing of an endpoint runs any more, and its runner is dropped. */
  readonly dropped: Subscribable<[id: string]> = this.#dropped;
  readonly #byId = new Map<string, EndpointRunner>();
  readonly #supervisor: Supervisor;
  readonly #pool: SharedPool;
  readonly #collector: MetricsCollector;
  readonly #logger: Logger;

  constructor(supervisor: Supervisor, collector: MetricsCollector, logger: Logger) {
    this.#supervisor = supervisor;
    this.#pool = new SharedPool(supervisor);
    this.#collector = collector;
    this.#logger = logger;
    supervisor.lost.subscribe((worker, exit) => {
      for (const runner of this.#byId.values()) runner.lost(worker, exit);
    });
  }

  /** The runner of an endpoint. */
  of(id: string): EndpointRunner {
    let runner = this.#byId.get(id);
    if (runner === undefined) {
      const context = { supervisor: this.#supervisor, pool: this.#pool, counters: this.#collector.of(id), logger: this.#logger };
      runner = new EndpointRunner(id, context, (changed) => this.#changed.emit(changed));
      this.#byId.set(id, runner);
    }
    return runner;
  }

  /** The runner of an endpoint if it has been made and not been dropped. */
  peek(id: string): EndpointRunner | undefined {
    return this.#byId.get(id);
  }

  /** False for a thread that endpoints share, and for a thread without an endpoint’s role. */
  isReplaceable(worker: WorkerHandle): boolean {
    if (worker.boot.role !== 'endpoint') return false;
    return this.all().every((runner) => runner.isAlone(worker));
  }

  all(): EndpointRunner[] {
    return [...this.#byId.values()];
  }

  /** Who accepts on each port: one runner, but for the time of a change. */
  byPort(): Map<number, EndpointRunner[]> {
    const holders = new Map<number, EndpointRunner[]>();
    for (const runner of this.#byId.values()) for (const port of runner.ports) holders.set(port, [...(holders.get(port) ?? []), runner]);
    return holders;
  }

  /**
   * Closes lingering listeners that are not needed, and drops idle runners; to be called each second.
   * @param isKept true while the endpoint exists, or a change of it is under way
   */
  sweep(isKept: (id: string) => boolean): void {
    for (const [id, runner] of this.#byId) {
      runner.sweep();
      if (!runner.isIdle || isKept(id)) continue;
      this.#byId.delete(id);
      this.#dropped.emit(id);
    }
  }
}
