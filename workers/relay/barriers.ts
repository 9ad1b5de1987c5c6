/** Waits until other nodes know an interest of this node: a SUBACK goes out only then. */

import type { RemoteNode } from './remote-node.ts';

interface Barrier {
  readonly waiting: Set<RemoteNode>;
  readonly done: Promise<void>;
  resolve: () => void;
}

export class Barriers {
  /** request → the nodes that have not answered it; in the order of the requests */
  readonly #open = new Map<number, Barrier>();
  #last = 0;

  /** A new request. @param nodes that have to know. @returns its number */
  begin(nodes: Iterable<RemoteNode>): number {
    const request = ++this.#last;
    const waiting = new Set(nodes);
    if (waiting.size === 0) return request;
    let resolve = (): void => {};
    const done = new Promise<void>((then) => {
      resolve = then;
    });
    this.#open.set(request, { waiting, done, resolve });
    return request;
  }

  /** Resolves when every open request is answered; null: none is open. */
  get all(): Promise<void> | null {
    const waits = [...this.#open.values()].map(({ done }) => done);
    if (waits.length === 0) return null;
    return Promise.all(waits).then(() => undefined);
  }

  /** The node knows the interest of this request and of all before. */
  known(node: RemoteNode, upTo: number): void {
    for (const [request, barrier] of this.#open) {
      if (request > upTo) return;
      this.#passed(request, barrier, node);
    }
  }

  /** Nobody waits for the node any more. */
  forget(node: RemoteNode): void {
    for (const [request, barrier] of this.#open) this.#passed(request, barrier, node);
  }

  #passed(request: number, barrier: Barrier, node: RemoteNode): void {
    if (!barrier.waiting.delete(node) || barrier.waiting.size > 0) return;
    this.#open.delete(request);
    barrier.resolve();
  }
}
