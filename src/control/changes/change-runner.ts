/** Runs change sets, each as one transaction, and alone for the endpoints and ports that it touches. */

import type { NodeOutcome } from '../contract/answers.ts';
import { NO_DRAIN } from '../contract/request-parts.ts';
import { type ChangeSet, judge, keysOf, toStoreChanges } from './change-set.ts';
import { type Applied, ChangeTransaction, type ChangeTransactionOptions, commitOptions, metaOf } from './change-transaction.ts';

export class ChangeRunner {
  readonly #options: ChangeTransactionOptions;

  constructor(options: ChangeTransactionOptions) {
    this.#options = options;
  }

  /**
   * Applies the set. When it resolves, the set is durable, and this node listens accordingly or the outcome says what is still pending.
   * @throws FluxError when nothing was changed: `busy`, `exists`, `default-endpoint`, `invalid`, `port-in-use`, `unprocessable`, `timeout`,
   * `unavailable`; an error for DesiredState.onNewest() when another process was first
   */
  async apply(set: ChangeSet): Promise<Applied> {
    const { desired } = this.#options;
    const changes = await judge(set, desired);
    if (changes.length === 0 && set.adopts === null)
      return { revision: desired.revision, changes, nodes: [this.outcome('applied')], confirmUntil: null, warnings: [] };
    const keys = keysOf(changes);
    // Nothing waits from here to the lock unless a key is held, so the set is based on the state that is locked.
    desired.ensureBasis(changes, set.whole);
    if (!desired.waiting.isFree(keys, set.settles)) await desired.refuseWaiting(keys, set.settles);
    return desired.exclusively(keys, () => new ChangeTransaction(this.#options, set, changes).run());
  }

  /** Only writes the set to the store: for a node whose endpoints have not started yet. @throws FluxError as `apply` */
  async commit(set: ChangeSet): Promise<number> {
    const { desired } = this.#options;
    const changes = await judge(set, desired);
    if (changes.length === 0) return desired.revision;
    return desired.commit(toStoreChanges(changes), metaOf(set, this.#options.node), commitOptions(set));
  }

  /** Reports to the other nodes that a waiting change was confirmed, so that they do not undo it. */
  announceConfirmation(): void {
    const { spreader, desired } = this.#options;
    void spreader.spread(desired.revision, [], NO_DRAIN, 0);
  }

  /** The outcome of an endpoint without a change: its present state. */
  current(id: string): NodeOutcome {
    const supervisor = this.#options.supervisors.peek(id);
    if (supervisor?.state === 'failed') return this.outcome('failed', supervisor.lastError);
    return this.outcome(supervisor?.state === 'starting' ? 'pending' : 'applied');
  }

  /** An outcome of this node. */
  outcome(state: NodeOutcome['state'], reason: string | null = null): NodeOutcome {
    return { node: this.#options.node, state, reason };
  }
}
