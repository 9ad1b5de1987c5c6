/** Keys: who may connect to an endpoint, and what clients may do. */

import { type AclConfig, AUTH_TYPES, type AuthConfig } from '../access/config.ts';
import { key, unset } from './key.ts';
import { boolean, choice, structure } from './value.ts';

export const ACCESS_KEYS = {
  enableAuth: key({ value: boolean, default: true, effect: 'admission', description: 'Clients are authenticated' }),
  authConfig: unset({
    value: structure<AuthConfig[]>('an authenticator or a list; [access](access.md)'),
    defaultText: "the node's `auth`",
    effect: 'admission',
    description: "Authenticators of the endpoint, instead of the node's `auth`",
    example: { users: [{ username: 'sensor', password: 'secret' }] },
    secret: {
      below: ['*.users.*.password', '*.secret', '*.redis.password', '*.redis.sentinelPassword', '*.datasource.password'],
      templates: ['*.headers.*', '*.body.*'],
    },
  }),
  enableAcl: key({
    value: boolean,
    default: true,
    effect: 'live',
    description: 'Rules are applied to PUBLISH, SUBSCRIBE and the will',
  }),
  aclConfig: unset({
    value: structure<AclConfig>('`{order, default, rules}`; [access](access.md)'),
    defaultText: "the node's `acl`",
    effect: 'live',
    description: "Rules of the endpoint, instead of the node's `acl`",
    example: { order: 'first-match', default: 'allow', rules: [] },
  }),
};

/** The kinds of `authConfig` and `aclConfig`: keys of requests and answers that an endpoint in its complete form does not have. */
export const KIND_KEYS = {
  authType: unset({
    value: choice(...AUTH_TYPES),
    defaultText: "the node's `auth`",
    effect: 'admission',
    description: 'Kind of `authConfig`',
    example: 'fixed',
  }),
  aclType: unset({
    value: choice('config'),
    defaultText: "the node's `acl`",
    effect: 'live',
    description: 'Kind of `aclConfig`',
    example: 'config',
  }),
};
