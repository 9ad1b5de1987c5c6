/** Worker threads shared by the endpoints with `exclusivePool: false`: as few as possible, and no thread holds an endpoint twice. */

import type { Deadline } from '../../kernel/deadline.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { ThreadSupervisor } from './thread-supervisor.ts';

interface Slot {
  worker: Promise<WorkerHandle>;
  endpoints: Set<string>;
}

export class SharedPool {
  readonly #threads: ThreadSupervisor;
  readonly #slots: Slot[] = [];

  constructor(threads: ThreadSupervisor) {
    this.#threads = threads;
  }

  /** A shared worker without this endpoint. Another shared worker may still serve the clients of the endpoint's old listener. */
  async acquire(endpoint: string, deadline: Deadline): Promise<WorkerHandle> {
    const slot = this.#slots.find((each) => !each.endpoints.has(endpoint)) ?? this.#grow(deadline);
    slot.endpoints.add(endpoint);
    const worker = await slot.worker;
    if (worker.isUsable) return worker;
    this.#drop(slot);
    return this.acquire(endpoint, deadline);
  }

  /** Releases the endpoint's place; the worker ends with its last endpoint. */
  async release(endpoint: string, worker: WorkerHandle, timeoutMs: number): Promise<void> {
    for (const slot of [...this.#slots]) {
      if ((await slot.worker.catch(() => null)) !== worker) continue;
      slot.endpoints.delete(endpoint);
      if (slot.endpoints.size > 0) return;
      this.#drop(slot);
      await this.#threads.release(worker, timeoutMs);
    }
  }

  #grow(deadline: Deadline): Slot {
    const slot: Slot = { worker: this.#threads.acquire(deadline), endpoints: new Set() };
    this.#slots.push(slot);
    const drop = () => this.#drop(slot);
    void slot.worker.then((worker) => worker.ended.then(drop), drop);
    return slot;
  }

  #drop(slot: Slot): void {
    const index = this.#slots.indexOf(slot);
    if (index >= 0) this.#slots.splice(index, 1);
  }
}
