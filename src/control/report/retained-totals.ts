/** Totals of the node's retained messages from the counts of the session worker: the totals of refusals never decrease. */

import type { RetainedSample } from '../../metrics/prometheus.ts';
import type { RetainedCounts } from '../../thread/commands.ts';

const NONE: RetainedCounts = { messages: 0, bytes: 0, refused: 0, namespaces: [], endpoints: [], cluster: null };

export class RetainedTotals {
  #last = NONE;
  #byEndpoint = new Map<string, { messages: number; bytes: number }>();
  /** refusals counted by session workers that have ended */
  #refusedBefore = 0;

  /** Takes a new count. A replacement of the session worker counts from 0 again. @param onRefused further refusals of an endpoint */
  count(counts: RetainedCounts, onRefused: (endpoint: string, refused: number) => void): void {
    const isReplaced = counts.refused < this.#last.refused;
    if (isReplaced) this.#refusedBefore += this.#last.refused;
    const before = new Map(isReplaced ? [] : this.#last.endpoints.map(({ endpoint, refused }) => [endpoint, refused]));
    for (const { endpoint, refused } of counts.endpoints) {
      const further = refused - (before.get(endpoint) ?? 0);
      if (further > 0) onRefused(endpoint, further);
    }
    this.#last = counts;
    this.#byEndpoint = new Map(counts.endpoints.map((each) => [each.endpoint, each]));
  }

  /** Messages that the node refused to retain, since the start. */
  get refused(): number {
    return this.#refusedBefore + this.#last.refused;
  }

  get sample(): RetainedSample {
    return this.#last;
  }

  /** Retained messages that came through an endpoint. */
  of(id: string): { messages: number; bytes: number } {
    const { messages, bytes } = this.#byEndpoint.get(id) ?? { messages: 0, bytes: 0 };
    return { messages, bytes };
  }
}
