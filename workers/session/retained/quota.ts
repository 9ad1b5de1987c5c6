/** What retained messages take, by namespace and by endpoint, and whether one more has room: nobody takes what another has. */

/** An amount of retained messages. */
export interface RetainedUse {
  messages: number;
  /** topics, payloads and properties, and what a message takes beside them */
  bytes: number;
}

/** A retained message, as far as it takes room. */
export interface RetainedPart {
  /** endpoint id of its publisher; '': the server itself */
  readonly origin: string;
  readonly bytes: number;
}

/** A limit that a message is over. */
export interface RetainedRefusal {
  limit: 'endpoint' | 'namespace';
  measure: keyof RetainedUse;
}

/** What all namespaces of a node may take together. */
export interface NodeLimits extends RetainedUse {}

const MEASURES = ['messages', 'bytes'] as const;
const NOTHING: RetainedUse = { messages: 0, bytes: 0 };

/**
 * A message is charged to its namespace and to the endpoint that it came by. Only what grows can be refused: a shorter message in place of
 * a longer one always has room, also when a limit was lowered below what is there. The node's room is shared by a rule that needs no list of
 * namespaces: a namespace may grow as long as it takes no more than what is left free. So one alone gets half of the node's room, the next
 * one half of the rest, and something is left for each newcomer.
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

  /** Limits an endpoint from now on; what is there stays. */
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

  /** Endpoints by which retained messages came that are kept. */
  endpoints(): IterableIterator<[string, Readonly<RetainedUse>]> {
    return this.#endpoints.entries();
  }

  /** The limit that `next` would be over in the place of `before`; null: it has room. */
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

  /** Gives the room of a message back. */
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

/** An entry that is empty goes: names come from outside. */
function change(uses: Map<string, RetainedUse>, name: string, sign: 1 | -1, bytes: number): void {
  const use = uses.get(name) ?? { ...NOTHING };
  use.messages += sign;
  use.bytes += sign * bytes;
  if (use.messages === 0) uses.delete(name);
  else uses.set(name, use);
}
