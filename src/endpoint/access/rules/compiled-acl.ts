/** ACL rules indexed by subject, so that a connection finds its own quickly. Made once per configuration. */

import { BlockList, isIPv4 } from 'node:net';
import { plainAddress } from '../../../kernel/address.ts';
import type { AclConfig, AclRule } from '../config.ts';

/** The client to be judged. */
export interface AclSubject {
  clientId: string;
  username: string | null;
  ip: string;
  groups: readonly string[];
  /** of its endpoint */
  namespace: string;
  /** of its verified client certificate; null: there is none */
  certCommonName: string | null;
}

export interface CompiledAcl {
  /** the rules about this client, in the order of the configuration */
  rulesFor(who: AclSubject): AclRule[];
}

const compiled = new WeakMap<AclConfig, CompiledAcl>();

/** The compiled form, made at the first call with this configuration object, which must not change afterwards. */
export function compileAcl(acl: AclConfig): CompiledAcl {
  const known = compiled.get(acl);
  if (known !== undefined) return known;
  const fresh = compile(acl);
  compiled.set(acl, fresh);
  return fresh;
}

/** A rule with its position in the configuration. */
interface Placed {
  readonly at: number;
  readonly rule: AclRule;
}

function compile(acl: AclConfig): CompiledAcl {
  const all: Placed[] = [];
  const byName = { user: new Map(), clientId: new Map(), group: new Map(), namespace: new Map(), certificate: new Map() } as const;
  const byAddress: (Placed & { addresses: BlockList })[] = [];
  const push = (map: Map<string, Placed[]>, placed: Placed) => {
    const rules = map.get(placed.rule.subject.value);
    if (rules === undefined) map.set(placed.rule.subject.value, [placed]);
    else rules.push(placed);
  };
  for (const [at, rule] of acl.rules.entries()) {
    const { type, value } = rule.subject;
    if (type === 'all') all.push({ at, rule });
    else if (type === 'ip') byAddress.push({ at, rule, addresses: toBlockList(value) });
    else push(byName[type], { at, rule });
  }
  return {
    rulesFor({ clientId, username, ip, groups, namespace, certCommonName }) {
      const address = plainAddress(ip);
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      const own = [
        ...rulesOf(byName.user, username),
        ...rulesOf(byName.clientId, clientId),
        ...rulesOf(byName.namespace, namespace),
        ...rulesOf(byName.certificate, certCommonName),
        ...groups.flatMap((group) => rulesOf(byName.group, group)),
        ...byAddress.filter(({ addresses }) => addresses.check(address, family)),
      ];
      const placed = own.length === 0 ? all : [...all, ...own].sort((a, b) => a.at - b.at);
      return placed.map(({ rule }) => rule);
    },
  };
}

function rulesOf(rules: ReadonlyMap<string, readonly Placed[]>, name: string | null): readonly Placed[] {
  return (name === null ? undefined : rules.get(name)) ?? [];
}

/** Parses an address, or a network like `10.0.0.0/8`. */
function toBlockList(value: string): BlockList {
  const [written = '', prefix] = value.split('/');
  const list = new BlockList();
  const address = prefix === undefined ? plainAddress(written) : written;
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
  return list;
}
