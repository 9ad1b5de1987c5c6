/** Waits until other nodes have answered a request: they know this node's interest, so that a SUBACK may leave, or have flushed. */

import type { LocalSide, Worker } from './contract.ts';
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

  /** A new request. @param nodes the nodes that must answer @returns its number */
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

  /** Resolves when the request is answered; null: it is answered already. */
  wait(request: number): Promise<void> | null {
    return this.#open.get(request)?.done ?? null;
  }

  /** Requests that the node has not answered. */
  waitingFor(node: RemoteNode): number[] {
    return [...this.#open].flatMap(([request, { waiting }]) => (waiting.has(node) ? request : []));
  }

  /** The node has answered this request alone. */
  answered(node: RemoteNode, request: number): void {
    const barrier = this.#open.get(request);
    if (barrier !== undefined) this.#passed(request, barrier, node);
  }

  /** The node knows the interest of this request and of all earlier requests. */
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

/** Finds out, for a session that moves, when one node has taken everything that all nodes have routed so far. */
export class Flushes {
  readonly #local: Pick<LocalSide, 'fence' | 'links'>;
  readonly #members: ReadonlyMap<string, { readonly node: RemoteNode }>;
  readonly #open = new Barriers();
  readonly #linked: Promise<void>;
  /** The relay is linked: the workers give it what they have kept while there was none. To be called once. */
  linked!: () => void;
  /** request → the node to which all messages shall have come */
  readonly #targets = new Map<number, string>();

  constructor(local: Pick<LocalSide, 'fence' | 'links'>, members: ReadonlyMap<string, { readonly node: RemoteNode }>) {
    this.#local = local;
    this.#members = members;
    this.#linked = new Promise((resolve) => {
      this.linked = resolve;
    });
  }

  async answerNode(node: RemoteNode, request: number, to: string): Promise<void> {
    await this.#to(to);
    node.control({ t: 'flushed', request });
  }

  /** Resolves when the node `to` has taken everything that this node's workers have routed so far, or is no longer awaited. */
  async #to(to: string): Promise<void> {
    // A worker that has had no relay keeps messages that are routed already. They would come behind the session that moves.
    await this.#linked;
    await this.#local.fence(this.#local.links.keys());
    await this.#members.get(to)?.node.whenTaken();
  }

  /** Answers a session worker when all awaited nodes have flushed. */
  async answer(worker: Worker, { request: asked, to }: { readonly request: number; readonly to: string }): Promise<void> {
    const nodes = [...this.#members.values()].filter(({ node }) => node.isAwaited && node.name !== to).map(({ node }) => node);
    const request = this.#open.begin(nodes);
    this.#targets.set(request, to);
    for (const node of nodes) node.control({ t: 'flush', request, to });
    await Promise.all([this.#to(to), this.#open.wait(request)]);
    this.#targets.delete(request);
    worker.control({ t: 'flushed', request: asked });
  }

  /** A new session of the link to the node has begun, and the requests of the session before are lost. */
  again(node: RemoteNode): void {
    for (const request of this.#open.waitingFor(node)) node.control({ t: 'flush', request, to: this.#targets.get(request)! });
  }

  answered(node: RemoteNode, request: number): void {
    this.#open.answered(node, request);
  }

  /** Nobody waits for the node any more. */
  forget(node: RemoteNode): void {
    this.#open.forget(node);
  }
}
