/** Keeps, replaces or refuses each RETAIN publish that reaches the session worker, from this node or another node. */

import { BoundedMap } from '../../../src/kernel/bounded-map.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { FNV_BASIS, fnv1a } from '../../../src/kernel/fnv.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import { isSystemTopic } from '../../../src/mqtt/topic.ts';
import type { ClusterRetainedCounts, RetainedCounts } from '../../../src/thread/commands.ts';
import { beat } from '../../../src/thread/heartbeat.ts';
import type { StoreState } from '../../../src/thread/store-state.ts';
import { isForeign, type Message } from '../../shared/messages/message.ts';
import { type Stamp, type StampClock, stampAt } from '../../shared/messages/stamp.ts';
import type { RetainedSink } from '../../shared/routing/router.ts';
import type { RetainedRefusal } from './quota.ts';
import type { RefusalLog } from './refusal-log.ts';
import type { RetainedDisk, RetainedStore } from './store.ts';

/** Retained messages that are read from disk between two heartbeats. */
const RESTORED_AT_ONCE = 1_000;
/** Time between two log lines about clocks (ms). */
const CLOCK_LOG_MS = 60_000;
/** Messages that were withdrawn before they came. */
const WITHDRAWN_MAX = 10_000;

/** The file of retained messages. */
export interface RetainedFile extends RetainedDisk {
  /** true: a change that cannot be written now is dropped */
  isRefusable: boolean;
  retained(): Iterable<{ namespace: string; message: Message }>;
  deletions(): Iterable<{ namespace: string; topic: string; stamp: Stamp }>;
}

export interface KeeperOptions {
  store: RetainedStore;
  disk: RetainedFile | null;
  state: StoreState;
  clock: StampClock;
  /** true when the nodes of a cluster keep the same messages */
  isReplicated: boolean;
  refusals: RefusalLog;
  /** Changes wait for their commit. */
  schedule(): void;
  /** A message of this node has no room. */
  onRefused(namespace: string, message: Message): void;
  logger(): Logger;
}

export class RetainedKeeper implements RetainedSink {
  readonly #options: KeeperOptions;
  #loggedAt = Number.NEGATIVE_INFINITY;
  /** topic, NUL, namespace → a message that its publisher's node has no room for */
  readonly #withdrawn = new BoundedMap<string, Stamp>(WITHDRAWN_MAX);
  #refused = 0;
  #ahead = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  retain(namespace: string, message: Message): void {
    const { state, isReplicated } = this.#options;
    const isSystem = isSystemTopic(message.topic);
    if (state.isFailing && !isSystem) {
      // A message that its sender waits for is refused earlier and does not come here.
      state.countRefused();
      return;
    }
    // A copy for a shared subscription has no stamp; the message itself has come before.
    if (isReplicated && !isSystem && message.stamp.at === 0) return;
    if (isForeign(message)) this.retainRemote(namespace, message);
    else {
      const refusal = this.#keep(namespace, message);
      if (refusal !== null) this.#options.onRefused(namespace, message);
    }
  }

  /**
   * Keeps a message that another node has kept, or a deletion, unless this node knows something newer.
   * @returns false when the message has no room, or its time is not credible
   */
  retainRemote(namespace: string, message: Message): boolean {
    const { clock } = this.#options;
    if (!clock.note(message.stamp)) {
      this.#ahead++;
      this.#logAhead(message.stamp);
      return false;
    }
    if (this.#isWithdrawn(namespace, message) || this.#keep(namespace, message) === null) return true;
    this.#refused++;
    return false;
  }

  /** The node that published the message has no room for it: no node keeps it. */
  withdraw(namespace: string, topic: string, stamp: Stamp): void {
    if (this.#options.store.withdraw(namespace, topic, stamp)) this.#options.schedule();
    else this.#withdrawn.set(`${topic}\0${namespace}`, stamp);
  }

  /** True for a message that comes behind its withdrawal. */
  #isWithdrawn(namespace: string, { topic, stamp }: Message): boolean {
    const withdrawn = this.#withdrawn.size === 0 ? undefined : this.#withdrawn.get(`${topic}\0${namespace}`);
    return withdrawn !== undefined && withdrawn.at === stamp.at && withdrawn.by === stamp.by;
  }

  #keep(namespace: string, message: Message): RetainedRefusal | null {
    const { store, disk, schedule, refusals } = this.#options;
    if (disk !== null) disk.isRefusable = true;
    const refusal = store.retain(namespace, message);
    if (disk !== null) disk.isRefusable = false;
    schedule();
    if (refusal !== null) refusals.note(namespace, message.origin, refusal, steadyNow());
    return refusal;
  }

  #logAhead({ at }: Stamp): void {
    const now = steadyNow();
    if (now - this.#loggedAt < CLOCK_LOG_MS) return;
    this.#loggedAt = now;
    const seconds = Math.round((at - stampAt(this.#options.clock.wall)) / stampAt(1_000));
    this.#options
      .logger()
      .warn('Cluster: retained messages of a node are not kept here: its clock is ahead', { seconds, count: this.#ahead });
  }

  /** @param sync counts of the comparison with other nodes */
  count(sync: Pick<ClusterRetainedCounts, 'pulled' | 'sent' | 'behind'> | null): RetainedCounts {
    const { deletions, ...counts } = this.#options.store.count();
    if (sync === null) return { ...counts, cluster: null };
    const { pulled, sent, behind } = sync;
    return { ...counts, cluster: { deletions, refused: this.#refused, ahead: this.#ahead, pulled, sent, behind } };
  }

  /** Reads what is on disk. The heartbeat lets main wait for it. */
  restore(disk: RetainedFile): void {
    const { store, clock, isReplicated } = this.#options;
    let restored = 0;
    let ahead = 0;
    for (const { namespace, message } of disk.retained()) {
      // Stamps of a clock that ran ahead must not hold up later changes.
      if (!clock.note(message.stamp)) {
        message.stamp = { at: 0, by: 0 };
        ahead++;
      }
      // Without a time the content decides, so that all nodes choose the same message.
      if (isReplicated && message.stamp.at === 0) message.stamp = { at: 0, by: contentOf(message) };
      store.put(namespace, message);
      if (++restored % RESTORED_AT_ONCE === 0) beat();
    }
    if (isReplicated)
      for (const { namespace, topic, stamp } of disk.deletions()) if (clock.note(stamp)) store.putDeletion(namespace, topic, stamp);
    if (ahead > 0)
      this.#options
        .logger()
        .warn('Retained messages on disk have a time in the future: any message of their topics replaces them', { ahead });
  }
}

/** 1..2^32-1 */
function contentOf({ payload, forward }: Message): number {
  return fnv1a(payload.toString('latin1'), fnv1a(forward.toString('latin1'), FNV_BASIS)) >>> 0 || 1;
}
