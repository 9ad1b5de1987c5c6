/** Main's side of the relay: starts and replaces the thread, tells it the other nodes, and asks how messages cross. */

import type { RelayedNode, RelayReport } from '../../bus/relay.ts';
import { Backoff } from '../../kernel/backoff.ts';
import { pause } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';

const CALL_MS = 2_000;
/** The longest pause before a new relay (ms): after 5 s without one, workers go on without the other nodes, which then lack messages. */
const PAUSE_MS_MAX = 2_000;

export interface RelayThreadOptions {
  /** A relay that every worker knows. @throws FluxError when it cannot start */
  launch(): Promise<WorkerHandle>;
  /** the node stops */
  signal: AbortSignal;
  logger: Logger;
}

export class RelayThread {
  readonly #options: RelayThreadOptions;
  readonly #backoff = new Backoff();
  #worker: WorkerHandle | null = null;
  /** null: main does not know the cluster yet */
  #nodes: readonly RelayedNode[] | null = null;
  #report: RelayReport | null = null;
  #isStarting = false;

  constructor(options: RelayThreadOptions) {
    this.#options = options;
  }

  /** The last report of the relay; null while no relay runs. */
  get report(): RelayReport | null {
    return this.#report;
  }

  /** Starts the relay, and tries again until it runs or the node stops. Never rejects. */
  async start(): Promise<void> {
    const { launch, signal, logger } = this.#options;
    if (this.#isStarting) return;
    this.#isStarting = true;
    while (!signal.aborted) {
      try {
        const worker = await launch();
        if (!worker.isUsable) {
          await this.#pause();
          continue;
        }
        this.#isStarting = false;
        this.#worker = worker;
        this.#tell();
        await this.look();
        return;
      } catch (error) {
        if (signal.aborted) break;
        logger.error('Cluster: the relay could not be started', { reason: messageOf(error) });
        await this.#pause();
      }
    }
    this.#isStarting = false;
  }

  #pause(): Promise<void> {
    return pause(Math.min(PAUSE_MS_MAX, this.#backoff.failed()), this.#options.signal);
  }

  /** The thread has ended by itself: another one takes its place. */
  ended(reason: string): void {
    const { logger } = this.#options;
    this.#worker = null;
    this.#report = null;
    logger.error('Cluster: the relay ended and is replaced', { reason });
    void this.#pause().then(() => this.start());
  }

  /** The other nodes that carry messages, whenever they have changed. */
  setNodes(nodes: readonly RelayedNode[]): void {
    this.#nodes = nodes;
    this.#tell();
  }

  #tell(): void {
    if (this.#nodes === null || this.#worker?.isUsable !== true) return;
    const told = this.#worker.call('relay.nodes', { nodes: [...this.#nodes] }, { timeoutMs: CALL_MS });
    void told.then(
      () => this.look(),
      (error: unknown) => {
        if (!this.#options.signal.aborted) this.#options.logger.warn('Cluster: the relay does not answer', { reason: messageOf(error) });
      },
    );
  }

  /** Asks the relay for its report. Never rejects. */
  async look(): Promise<void> {
    const worker = this.#worker;
    if (worker?.isUsable !== true) return;
    try {
      const report = await worker.call('relay.report', {}, { timeoutMs: CALL_MS });
      if (this.#worker === worker) this.#report = report;
    } catch {
      // It is being replaced, or the watchdog tells that it is blocked.
    }
  }
}
