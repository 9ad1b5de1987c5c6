/** The bans that apply, for look-ups at every CONNECT: exact names and networks in maps, patterns in a short list. */

import { addressBits, maskedBits, readNetwork } from '../../kernel/address.ts';
import { type BanId, type BanSubject, banIdOf, isBanPattern } from './ban.ts';
import { compileGlob, type Glob } from './glob.ts';

/** A ban that is new, or that has another end, Infinity: none; or one that is gone. By the key of its document. */
export type BanChange = [key: string, until: number | null];

/** A client that wants to connect. */
export interface BannedWho {
  namespace: string;
  clientId: string;
  username: string | null;
  /** without port */
  address: string;
}

interface Pattern {
  matches: Glob;
  namespace: string | null;
  until: number;
  id: BanId;
}

type NameSubject = 'clientId' | 'username';

/** Namespace of the maps for all namespaces. No namespace has this name. */
const EVERYWHERE = '';

export class BanIndex {
  readonly #now: () => number;
  /** by subject, namespace and name: the end */
  readonly #names: Record<NameSubject, Map<string, Map<string, number>>> = { clientId: new Map(), username: new Map() };
  readonly #patterns: Record<NameSubject, Map<string, Pattern>> = { clientId: new Map(), username: new Map() };
  /** by prefix and bits: the end */
  readonly #networks = new Map<number, Map<bigint, { until: number; id: BanId }>>();

  /** @param now the wall clock, milliseconds: a ban ends by itself */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** True when a look-up finds nothing. */
  get isEmpty(): boolean {
    const { clientId, username } = this.#names;
    const { clientId: ofIds, username: ofUsers } = this.#patterns;
    return this.#networks.size === 0 && clientId.size === 0 && username.size === 0 && ofIds.size === 0 && ofUsers.size === 0;
  }

  apply(changes: readonly BanChange[]): void {
    for (const [key, until] of changes) {
      const id = banIdOf(key);
      if (id.by === 'address') this.#applyNetwork(id, until);
      else if (isBanPattern(id.by)) this.#applyPattern(key, id, until);
      else this.#applyName(id.by as NameSubject, id, until);
    }
  }

  /** The ban of a client; null: it may connect. */
  find({ namespace, clientId, username, address }: BannedWho): BanId | null {
    return (
      this.#findName('clientId', namespace, clientId) ??
      (username === null ? null : this.#findName('username', namespace, username)) ??
      this.findAddress(address)
    );
  }

  /** The ban of an address; null: it may connect. */
  findAddress(address: string): BanId | null {
    if (this.#networks.size === 0) return null;
    const bits = addressBits(address);
    if (bits === null) return null;
    for (const [prefix, networks] of this.#networks) {
      const found = networks.get(maskedBits(bits, prefix));
      if (found !== undefined && this.#applies(found.until)) return found.id;
    }
    return null;
  }

  #findName(by: NameSubject, namespace: string, value: string): BanId | null {
    const names = this.#names[by];
    if (names.size > 0) {
      for (const place of [namespace, EVERYWHERE]) {
        const until = names.get(place)?.get(value);
        if (until !== undefined && this.#applies(until)) return { by, namespace: place === EVERYWHERE ? null : place, value };
      }
    }
    for (const pattern of this.#patterns[by].values()) {
      const isMeant = pattern.namespace === null || pattern.namespace === namespace;
      if (isMeant && pattern.matches(value) && this.#applies(pattern.until)) return pattern.id;
    }
    return null;
  }

  #applies(until: number): boolean {
    return until === Number.POSITIVE_INFINITY || until > this.#now();
  }

  #applyName(by: NameSubject, { namespace, value }: BanId, until: number | null): void {
    const place = namespace ?? EVERYWHERE;
    const names = this.#names[by].get(place) ?? new Map<string, number>();
    if (until === null) names.delete(value);
    else names.set(value, until);
    if (names.size === 0) this.#names[by].delete(place);
    else this.#names[by].set(place, names);
  }

  #applyPattern(key: string, id: BanId, until: number | null): void {
    const patterns = this.#patterns[subjectOf(id.by)];
    if (until === null) patterns.delete(key);
    else patterns.set(key, { matches: compileGlob(id.value), namespace: id.namespace, until, id });
  }

  #applyNetwork(id: BanId, until: number | null): void {
    const network = readNetwork(id.value);
    if (network === null) return;
    const { bits, prefix } = network;
    const networks = this.#networks.get(prefix) ?? new Map<bigint, { until: number; id: BanId }>();
    if (until === null) networks.delete(bits);
    else networks.set(bits, { until, id });
    if (networks.size === 0) this.#networks.delete(prefix);
    else this.#networks.set(prefix, networks);
  }
}

function subjectOf(by: BanSubject): NameSubject {
  return by === 'clientIdPattern' ? 'clientId' : 'username';
}
