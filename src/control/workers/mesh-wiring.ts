/** Joins worker threads pairwise by MessageChannels, and removes a thread that has ended from all others. */

import { MessageChannel } from 'node:worker_threads';
import { Deadline } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';

/** Time for a peer to forget another peer. */
const REMOVE_TIMEOUT_MS = 10_000;
/** Longest time that the other peers know of a thread that has ended while the session worker restores that thread's sessions. */
const RESTORED_MS = 2_000;

export class MeshWiring {
  readonly #members = new Set<WorkerHandle>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * Wires `worker` to every member. When the promise resolves, each pair knows the other's interest and the worker may be used. When two
   * workers join at once, the later one wires the pair.
   * @throws FluxError when a living peer did not acknowledge in time; the worker is not a member then
   */
  async join(worker: WorkerHandle, timeoutMs: number): Promise<void> {
    const others = [...this.#members];
    this.#members.add(worker);
    try {
      await Promise.all(others.map((other) => wire(worker, other, timeoutMs)));
    } catch (error) {
      await this.leave(worker);
      throw error;
    }
  }

  /**
   * Removes `worker` from all others. Never rejects; a peer that does not answer is logged. The session worker comes first: it restores
   * the durable sessions of the thread, and announces their shared subscriptions. Otherwise messages that come in between would find
   * their group empty, and be lost.
   */
  async leave(worker: WorkerHandle): Promise<void> {
    if (!this.#members.delete(worker)) return;
    const others = new Set(this.#members);
    const removals: Promise<void>[] = [];
    for (const other of others) {
      if (other.boot.role !== 'session') continue;
      others.delete(other);
      const removed = this.#retract(worker, other);
      removals.push(removed);
      await new Deadline(RESTORED_MS).reaches(removed);
    }
    await Promise.all([...removals, ...[...others].map((other) => this.#retract(worker, other))]);
  }

  async #retract(worker: WorkerHandle, other: WorkerHandle): Promise<void> {
    try {
      await other.call('peer.remove', { peer: worker.peer }, { timeoutMs: REMOVE_TIMEOUT_MS });
    } catch (error) {
      if (other.isUsable) this.#logger.error(`${other.name} did not retract its peer ${worker.name}`, { reason: messageOf(error) });
    }
  }
}

/** Gives each side one end of a channel. A side that has ended needs none: the other side is about to hear of its removal. */
async function wire(joining: WorkerHandle, member: WorkerHandle, timeoutMs: number): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const add = (to: WorkerHandle, peer: WorkerHandle, port: typeof port1) =>
    to.call('peer.add', { peer: peer.peer, role: peer.boot.role, port }, { timeoutMs, transfer: [port] });
  try {
    await member.untilEnd(Promise.all([add(joining, member, port1), add(member, joining, port2)]));
  } catch (error) {
    if (member.isUsable) throw error;
  }
}
