/** An endpoint worker's questions for retained messages, merged with what is published meanwhile: nothing missed, nothing older than what was delivered. */

import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';
import type { WireMessage } from '../routing/message.ts';
import { fromWireMessage, type Message } from '../routing/message.ts';

/** A question that is not answered by then is given up: the session worker is away for long. */
const DEADLINE_MS = 10_000;

interface Query {
  namespace: string;
  filter: string;
  /** topics whose retained message was published since the subscription: the stored one may be older */
  seen: Set<string>;
  isAsked: boolean;
  resolve: (messages: Message[]) => void;
}

export class RetainedQueries {
  readonly #mesh: Mesh;
  readonly #queries = new Map<number, Query>();
  #last = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** Begins to watch when a subscription is made; call the answer when every peer knows the filter. */
  begin(namespace: string, filter: string): () => Promise<Message[]> {
    const request = ++this.#last;
    const query: Query = { namespace, filter, seen: new Set(), isAsked: false, resolve: () => {} };
    this.#queries.set(request, query);
    return () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => this.#answer(request, []), DEADLINE_MS);
        query.resolve = (messages) => {
          clearTimeout(timer);
          resolve(messages);
        };
        query.isAsked = true;
        this.#mesh.sessionLink?.control({ t: 'retained-get', request, namespace, filter });
      });
  }

  onPublish(namespace: string, topic: string): void {
    for (const query of this.#queries.values()) if (query.namespace === namespace) query.seen.add(topic);
  }

  onAnswer(request: number, messages: WireMessage[]): void {
    // What peers have published and is still in their ports may be newer than the answer.
    this.#mesh.drain();
    this.#answer(request, messages);
  }

  #answer(request: number, messages: WireMessage[]): void {
    const query = this.#queries.get(request);
    if (query === undefined) return;
    this.#queries.delete(request);
    query.resolve(messages.filter((message) => !query.seen.has(message.topic)).map(fromWireMessage));
  }

  /** A new session worker: ask again what the old one did not answer. */
  onSessionWorker(link: PeerLink): void {
    for (const [request, { namespace, filter, isAsked }] of this.#queries) {
      if (isAsked) link.control({ t: 'retained-get', request, namespace, filter });
    }
  }
}
