/** Counts the connects of each client, over all threads of the node, and finds those that connect too often. */

import { forgottenEveryMs } from '../../../../src/endpoint/bans/flapping.ts';
import { LoginMemory } from '../../../../src/kernel/logins/login-memory.ts';
import type { WorkerBoot, WorkerEvent } from '../../../../src/thread/commands.ts';

/** Of all clients of a worker. */
export class FlappingGuard {
  readonly #report: (event: WorkerEvent) => void;
  readonly #connects: number;
  readonly #everyMs: number;
  /** leaky buckets by client */
  readonly #buckets: LoginMemory | null;

  /** @param boot null: clients may connect as often as they like */
  constructor(boot: WorkerBoot['flapping'], report: (event: WorkerEvent) => void) {
    this.#report = report;
    this.#connects = boot?.limits.connects ?? 0;
    this.#everyMs = boot === null ? 0 : forgottenEveryMs(boot.limits);
    this.#buckets = boot === null ? null : new LoginMemory(boot.memory);
  }

  /** Counts a connect. True: the client has connected too often, and main bans it. */
  isOver(namespace: string, clientId: string): boolean {
    if (this.#buckets === null || this.#buckets.take(this.#buckets.key(namespace, clientId), this.#everyMs, this.#connects)) return false;
    this.#report({ event: 'flapping', namespace, clientId });
    return true;
  }
}
