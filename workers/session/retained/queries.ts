/** An endpoint worker's questions for retained messages, merged with what is published meanwhile: nothing missed, nothing older than what was delivered. */

import type { RetainedFound } from '../../mesh/controls.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { PeerLink } from '../../mesh/peer-link.ts';
import { fromWireMessage, type Message } from '../../routing/message.ts';

/** A question that is not answered by then is given up: the session worker is away for long. */
const DEADLINE_MS = 10_000;
/** Questions from which on those that nobody wants any more are looked for, each time that there are twice as many. */
const SWEEP_FROM = 64;

/** Retained messages of one filter of a question. */
export interface Retained {
  /** the filter's place in the question */
  filterAt: number;
  messages: readonly Message[];
}

/** The question of new subscriptions that were made together. It watches what is published from its beginning until end(). */
export class RetainedQuery {
  readonly namespace: string;
  readonly filters: readonly string[];
  readonly #isWanted: () => boolean;
  readonly #ask: (query: RetainedQuery) => void;
  /** topics whose retained message was published since every peer knows the filters: the stored one may be older */
  #seen: Set<string> | null = null;
  /** topic → the last one that came before that; others may have been missed after it */
  #before: Map<string, string> | null = null;
  #then: ((found: Retained[]) => void) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isAsked = false;
  #isEnded = false;

  constructor(namespace: string, filters: readonly string[], isWanted: () => boolean, ask: (query: RetainedQuery) => void) {
    this.namespace = namespace;
    this.filters = filters;
    this.#isWanted = isWanted;
    this.#ask = ask;
  }

  /** The question is out, and its answer is not in. */
  get isWaiting(): boolean {
    return this.#then !== null;
  }

  /** Nobody wants an answer any more. */
  get isOver(): boolean {
    return this.#isEnded || !this.#isWanted();
  }

  /** Asks; to be called when every peer knows the filters. `then` is called at most once, when nothing is under way that the answer knows of. */
  ask(then: (found: Retained[]) => void): void {
    this.#then = then;
    this.#isAsked = true;
    this.#timer = setTimeout(() => this.answer([]), DEADLINE_MS);
    this.#ask(this);
  }

  answer(found: Retained[]): void {
    const then = this.#then;
    this.#then = null;
    clearTimeout(this.#timer);
    if (this.isOver) this.end();
    else then?.(found);
  }

  onPublish(message: Message): void {
    if (this.#isAsked) {
      this.#seen ??= new Set();
      this.#seen.add(message.topic);
    } else {
      this.#before ??= new Map();
      this.#before.set(message.topic, identity(message));
    }
  }

  /** The subscriber was sent this message, or a newer one of the topic: what the answer brought must not follow. */
  isOvertaken(message: Message): boolean {
    return this.#seen?.has(message.topic) === true || this.#before?.get(message.topic) === identity(message);
  }

  /** Everything has been sent. */
  end(): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }
}

function identity({ source, serial }: Message): string {
  return `${source}:${serial}`;
}

export class RetainedQueries {
  readonly #mesh: Mesh;
  readonly #queries = new Map<number, RetainedQuery>();
  #last = 0;
  #sweepAt = SWEEP_FROM;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** Begins to watch when subscriptions are made. @param isWanted false as soon as their client is gone */
  begin(namespace: string, filters: readonly string[], isWanted: () => boolean): RetainedQuery {
    const request = ++this.#last;
    if (this.#queries.size >= this.#sweepAt) this.#sweep();
    const query = new RetainedQuery(namespace, filters, isWanted, () => {
      this.#mesh.sessionLink?.control({ t: 'retained-get', request, namespace, filters });
    });
    this.#queries.set(request, query);
    return query;
  }

  onPublish(namespace: string, message: Message): void {
    for (const [request, query] of this.#queries) {
      if (query.isOver) this.#queries.delete(request);
      else if (query.namespace === namespace) query.onPublish(message);
    }
  }

  onAnswer(request: number, found: readonly RetainedFound[]): void {
    const query = this.#queries.get(request);
    if (query === undefined) return;
    const answer = (): void => {
      query.answer(found.map(({ filterAt, messages }) => ({ filterAt, messages: messages.map(fromWireMessage) })));
      if (query.isOver) this.#queries.delete(request);
    };
    // The session worker may have heard of a publish before this worker, to which it is on its way with others before it.
    const fence = this.#mesh.fence(found.flatMap(({ messages }) => messages.map(({ source }) => source)));
    if (fence === null) answer();
    else void fence.then(answer);
  }

  #sweep(): void {
    for (const [request, query] of this.#queries) if (query.isOver) this.#queries.delete(request);
    this.#sweepAt = Math.max(SWEEP_FROM, this.#queries.size * 2);
  }

  /** A new session worker: ask again what the old one did not answer. */
  onSessionWorker(link: PeerLink): void {
    for (const [request, query] of this.#queries) {
      if (query.isWaiting) link.control({ t: 'retained-get', request, namespace: query.namespace, filters: query.filters });
    }
  }
}
