/** ACL rules indexed by subject, so that a connection finds its own quickly. Made once per configuration. */

import { BlockList, isIPv4 } from 'node:net';
import type { AclConfig, AclRule } from '../../../src/endpoint/endpoint.ts';
import { plainAddress } from '../../../src/kernel/address.ts';

/** The client to be judged. */
export interface AclSubject {
  clientId: string;
  username: string | null;
  ip: string;
}

export interface CompiledAcl {
  /** the rules about this client, in no particular order: order has no meaning in a decision */
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

function compile(acl: AclConfig): CompiledAcl {
  const all: AclRule[] = [];
  const byUser = new Map<string, AclRule[]>();
  const byClient = new Map<string, AclRule[]>();
  const byAddress: { rule: AclRule; addresses: BlockList }[] = [];
  const push = (map: Map<string, AclRule[]>, rule: AclRule) => {
    const rules = map.get(rule.subject.value);
    if (rules === undefined) map.set(rule.subject.value, [rule]);
    else rules.push(rule);
  };
  for (const rule of acl.rules) {
    if (rule.subject.type === 'all') all.push(rule);
    else if (rule.subject.type === 'user') push(byUser, rule);
    else if (rule.subject.type === 'clientId') push(byClient, rule);
    else byAddress.push({ rule, addresses: toBlockList(rule.subject.value) });
  }
  return {
    rulesFor({ clientId, username, ip }) {
      const address = plainAddress(ip);
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      return [
        ...all,
        ...((username === null ? undefined : byUser.get(username)) ?? []),
        ...(byClient.get(clientId) ?? []),
        ...byAddress.filter(({ addresses }) => addresses.check(address, family)).map(({ rule }) => rule),
      ];
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
