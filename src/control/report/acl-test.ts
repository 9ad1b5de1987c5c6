/** Says what the rules of an endpoint let a client do, and which rule decides. */

import { Authoriser } from '../../endpoint/access/rules/authoriser.ts';
import type { AclConfig, Endpoint } from '../../endpoint/endpoint.ts';
import { isSystemTopic } from '../../mqtt/topic.ts';
import type { AclVerdict } from '../contract/answers.ts';
import type { AclTest } from '../contract/node-reads.ts';

/** Judges as the threads of the endpoint do. @param nodes the node's rules, for an endpoint without its own */
export function testAcl({ enableAcl, aclConfig }: Endpoint, nodes: AclConfig, test: AclTest): AclVerdict {
  const none = { path: null, rule: null };
  if (test.action === 'publish' && isSystemTopic(test.topic))
    return { allowed: false, ...none, reason: 'clients do not publish below $SYS/' };
  if (!enableAcl) return { allowed: true, ...none, reason: 'enableAcl is false: the endpoint has no rules' };
  const acl = aclConfig ?? nodes;
  const name = aclConfig === null ? 'acl' : 'aclConfig';
  const rule = new Authoriser(acl, test).ruleFor(test);
  if (rule === null) return { allowed: acl.default === 'allow', ...none, reason: `no rule decides: ${name}.default is ${acl.default}` };
  const path = `${name}.rules.${acl.rules.indexOf(rule)}`;
  return { allowed: rule.permission === 'allow', path, rule, reason: `${path} decides, with order ${acl.order}` };
}
