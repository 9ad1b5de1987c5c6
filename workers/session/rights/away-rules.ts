/** What the session worker knows of the endpoints' access rules: sessions and wills of clients that are away obey them as well. */

import { HolderRules } from '../../access/holder-rules.ts';
import type { EndpointRules } from '../../mesh/controls.ts';
import type { Session } from '../session.ts';

interface Known {
  rules: EndpointRules;
  /** the rules as text, to be compared */
  text: string;
  /** endpoint workers that serve the endpoint */
  readonly peers: Set<number>;
}

export class AwayRules {
  readonly #known = new Map<string, Known>();

  /** A peer has opened the endpoint, or its rules have changed. @returns whether they are other rules than before */
  tell(endpoint: string, rules: EndpointRules, peer: number): boolean {
    const text = JSON.stringify(rules);
    const known = this.#known.get(endpoint);
    if (known === undefined) {
      this.#known.set(endpoint, { rules, text, peers: new Set([peer]) });
      return true;
    }
    known.peers.add(peer);
    if (known.text === text) return false;
    known.rules = rules;
    known.text = text;
    return true;
  }

  /** The peer does not serve the endpoint any more. Its rules go on for its sessions. */
  closed(endpoint: string, peer: number): void {
    this.#known.get(endpoint)?.peers.delete(peer);
  }

  peerRemoved(peer: number): void {
    for (const { peers } of this.#known.values()) peers.delete(peer);
  }

  /** Forgets rules of endpoints that nobody serves and that have no session. */
  prune(hasSessions: (endpoint: string) => boolean): void {
    for (const [endpoint, { peers }] of this.#known) if (peers.size === 0 && !hasSessions(endpoint)) this.#known.delete(endpoint);
  }

  isKnown(endpoint: string): boolean {
    return this.#known.has(endpoint);
  }

  /** The rules of the endpoint by which the session's client was connected last; null: they, or its client, are not known. */
  of({ endpoint, clientId, holder }: Session): HolderRules | null {
    const known = this.#known.get(endpoint);
    return known === undefined || holder === null ? null : new HolderRules(known.rules, clientId, holder);
  }
}
