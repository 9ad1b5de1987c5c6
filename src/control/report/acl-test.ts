/** Says what the rules of an endpoint let a client do, and which rule decides. */

import { Authoriser } from '../../endpoint/access/rules/authoriser.ts';
import type { AclConfig, AuthConfig, Endpoint, OwnRights } from '../../endpoint/endpoint.ts';
import type { DirectoryUser, UserId } from '../../endpoint/users/user.ts';
import { isSystemTopic } from '../../mqtt/topic.ts';
import type { AclVerdict } from '../contract/answers.ts';
import type { AclTest } from '../contract/node-reads.ts';

/** What applies to endpoints without their own, and the users of the store. */
export interface AccessOfNode {
  readonly acl: AclConfig;
  readonly auth: readonly AuthConfig[];
  /** null: there is no such user */
  findUser(id: UserId): DirectoryUser | null;
}

/** Judges as the threads of the endpoint do, with the rights that a user of the store has from its login. */
export function testAcl(endpoint: Endpoint, node: AccessOfNode, test: AclTest): AclVerdict {
  const { enableAcl, aclConfig, namespace } = endpoint;
  const none = { path: null, rule: null };
  if (test.action === 'publish' && isSystemTopic(test.topic))
    return { allowed: false, ...none, reason: 'clients do not publish below $SYS/' };
  if (!enableAcl) return { allowed: true, ...none, reason: 'enableAcl is false: the endpoint has no rules' };
  const own = rightsOf(endpoint, node, test);
  if (own?.isSuperuser === true) return { allowed: true, ...none, reason: 'the user is a superuser: no rule applies' };
  const acl = aclConfig ?? node.acl;
  const name = aclConfig === null ? 'acl' : 'aclConfig';
  const who = { ...test, namespace, groups: [...(own?.groups ?? []), ...test.groups] };
  const rule = new Authoriser(acl, who, own?.rules).ruleFor(test);
  if (rule === null) return { allowed: acl.default === 'allow', ...none, reason: `no rule decides: ${name}.default is ${acl.default}` };
  const ownAt = own?.rules.indexOf(rule) ?? -1;
  const allowed = rule.permission === 'allow';
  if (ownAt >= 0) return { allowed, path: `user.acl.${ownAt}`, rule, reason: `user.acl.${ownAt}, a rule of the user itself, decides` };
  const path = `${name}.rules.${acl.rules.indexOf(rule)}`;
  return { allowed, path, rule, reason: `${path} decides, with order ${acl.order}` };
}

/** The rights of a user of the store, where an authenticator of the endpoint knows these users; null: none. */
function rightsOf({ enableAuth, authConfig, namespace }: Endpoint, node: AccessOfNode, { username, clientId }: AclTest): OwnRights | null {
  if (!enableAuth) return null;
  for (const entry of authConfig ?? node.auth) {
    if (entry.authType !== 'users') continue;
    const { look } = entry;
    const byName = look === 'clientId' || username === null ? null : node.findUser({ namespace, by: 'username', name: username });
    const user = byName ?? (look === 'username' || clientId === '' ? null : node.findUser({ namespace, by: 'clientId', name: clientId }));
    if (user !== null) return { isSuperuser: user.isSuperuser, rules: user.acl, groups: user.groups };
  }
  return null;
}
