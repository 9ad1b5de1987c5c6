/** The room of retained messages, by namespace and by endpoint. Decides whether a message has room without taking room of another owner. */

/** An amount of retained messages. */
export interface RetainedUse {
  messages: number;
  /** bytes of topics, payloads and properties, plus a constant per message */
  bytes: number;
}

/** The room that a retained message takes. */
export interface RetainedPart {
  /** endpoint id of its publisher; '': the server itself */
  readonly origin: string;
  readonly bytes: number;
}

/** The limit that a message exceeds. */
export interface RetainedRefusal {
  limit: 'endpoint' | 'namespace';
  measure: keyof RetainedUse;
}

/** Limits for all namespaces of a node together. */
export interface NodeLimits extends RetainedUse {}

const MEASURES = ['messages', 'bytes'] as const;
const NOTHING: RetainedUse = { messages: 0, bytes: 0 };

/**
 * Charges a message to its namespace and to the endpoint that received it. Only growth can be refused: a shorter message in place of a
 * longer one always has room, even after a limit was lowered below the present use. The namespaces share the node's room by a rule that
 * needs no list of them: a namespace may grow while it takes no more than what stays free. A single namespace thus gets half of the node's
 * room, the next one half of the rest, and something is left for each newcomer.
 */
export class RetainedQuota {
  readonly #node: NodeLimits;
  readonly #total: RetainedUse = { ...NOTHING };
  readonly #namespaces = new Map<string, RetainedUse>();
  readonly #endpoints = new Map<string, RetainedUse>();
  readonly #limits = new Map<string, RetainedUse>();

  constructor(node: NodeLimits) {
    this.#node = node;
  }

  /** Limits an endpoint from now on; present messages stay. */
  setLimit(endpoint: string, limit: RetainedUse): void {
    this.#limits.set(endpoint, limit);
  }

  get total(): Readonly<RetainedUse> {
    return this.#total;
  }

  /** Namespaces with retained messages. */
  namespaces(): IterableIterator<[string, Readonly<RetainedUse>]> {
    return this.#namespaces.entries();
  }

  /** Endpoints that received the present retained messages. */
  endpoints(): IterableIterator<[string, Readonly<RetainedUse>]> {
    return this.#endpoints.entries();
  }

  /** The limit that `next` would exceed in place of `before`; null when it has room. */
  refusal(namespace: string, next: RetainedPart, before: RetainedPart | null): RetainedRefusal | null {
    const used = this.#namespaces.get(namespace) ?? NOTHING;
    const ofEndpoint = this.#endpoints.get(next.origin) ?? NOTHING;
    const limit = this.#limits.get(next.origin);
    const own = before?.origin === next.origin ? before : null;
    for (const measure of MEASURES) {
      const growth = sizeOf(next, measure) - (before === null ? 0 : sizeOf(before, measure));
      const ownGrowth = sizeOf(next, measure) - (own === null ? 0 : sizeOf(own, measure));
      if (limit !== undefined && ownGrowth > 0 && ofEndpoint[measure] + ownGrowth > limit[measure]) return { limit: 'endpoint', measure };
      const free = this.#node[measure] - this.#total[measure] - growth;
      if (growth > 0 && used[measure] + growth > free) return { limit: 'namespace', measure };
    }
    return null;
  }

  /** Charges a message. */
  add(namespace: string, part: RetainedPart): void {
    this.#change(namespace, part, 1);
  }

  /** Returns the room of a message. */
  remove(namespace: string, part: RetainedPart): void {
    this.#change(namespace, part, -1);
  }

  #change(namespace: string, { origin, bytes }: RetainedPart, sign: 1 | -1): void {
    this.#total.messages += sign;
    this.#total.bytes += sign * bytes;
    change(this.#namespaces, namespace, sign, bytes);
    if (origin !== '') change(this.#endpoints, origin, sign, bytes);
  }
}

function sizeOf(part: RetainedPart, measure: keyof RetainedUse): number {
  return measure === 'messages' ? 1 : part.bytes;
}

/** Empty entries are removed: the names come from outside and must not pile up. */
function change(uses: Map<string, RetainedUse>, name: string, sign: 1 | -1, bytes: number): void {
  const use = uses.get(name) ?? { ...NOTHING };
  use.messages += sign;
  use.bytes += sign * bytes;
  if (use.messages === 0) uses.delete(name);
  else uses.set(name, use);
}
