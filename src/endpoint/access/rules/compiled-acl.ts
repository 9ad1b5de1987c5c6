/** ACL rules indexed by subject, so that a connection finds its own quickly. Made once per configuration. */

import { BlockList, isIPv4 } from 'node:net';
import { plainAddress } from '../../../kernel/address.ts';
import type { AclConfig, AclRule } from '../config.ts';

/** The client to be judged. */
export interface AclSubject {
  clientId: string;
  username: string | null;
  ip: string;
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
  const byUser = new Map<string, Placed[]>();
  const byClient = new Map<string, Placed[]>();
  const byAddress: (Placed & { addresses: BlockList })[] = [];
  const push = (map: Map<string, Placed[]>, placed: Placed) => {
    const rules = map.get(placed.rule.subject.value);
    if (rules === undefined) map.set(placed.rule.subject.value, [placed]);
    else rules.push(placed);
  };
  for (const [at, rule] of acl.rules.entries()) {
    if (rule.subject.type === 'all') all.push({ at, rule });
    else if (rule.subject.type === 'user') push(byUser, { at, rule });
    else if (rule.subject.type === 'clientId') push(byClient, { at, rule });
    else byAddress.push({ at, rule, addresses: toBlockList(rule.subject.value) });
  }
  return {
    rulesFor({ clientId, username, ip }) {
      const address = plainAddress(ip);
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      const own = [
        ...((username === null ? undefined : byUser.get(username)) ?? []),
        ...(byClient.get(clientId) ?? []),
        ...byAddress.filter(({ addresses }) => addresses.check(address, family)),
      ];
      const placed = own.length === 0 ? all : [...all, ...own].sort((a, b) => a.at - b.at);
      return placed.map(({ rule }) => rule);
    },
  };
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
