/** The endpoints' access rules in the session worker: offline sessions and their wills obey them too. */

import { HolderRules } from '../../shared/rights/holder-rules.ts';
import type { Session } from '../../shared/session/session.ts';
import type { EndpointRules } from '../../shared/wire/controls.ts';

interface Known {
  rules: EndpointRules;
  /** the rules as text, for comparison */
  text: string;
  /** endpoint workers that serve the endpoint */
  readonly peers: Set<number>;
}

export class AwayRules {
  readonly #known = new Map<string, Known>();

  /** Takes the rules of a peer that has opened the endpoint or changed its rules. @returns true when the rules are different or new */
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

  /** Notes that the peer no longer serves the endpoint. The rules stay valid for the endpoint's sessions. */
  closed(endpoint: string, peer: number): void {
    this.#known.get(endpoint)?.peers.delete(peer);
  }

  peerRemoved(peer: number): void {
    for (const { peers } of this.#known.values()) peers.delete(peer);
  }

  /** Drops the rules of endpoints without a serving peer and without a session. */
  prune(hasSessions: (endpoint: string) => boolean): void {
    for (const [endpoint, { peers }] of this.#known) if (peers.size === 0 && !hasSessions(endpoint)) this.#known.delete(endpoint);
  }

  isKnown(endpoint: string): boolean {
    return this.#known.has(endpoint);
  }

  /** The rules of the endpoint to which the session's client last connected; null when the rules or the client are unknown. */
  of({ endpoint, clientId, holder }: Pick<Session, 'endpoint' | 'clientId' | 'holder'>): HolderRules | null {
    const known = this.#known.get(endpoint);
    return known === undefined || holder === null ? null : new HolderRules(known.rules, clientId, holder);
  }
}
