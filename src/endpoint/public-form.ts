/** The JSON form of an endpoint in answers: the keys of SPEC.md section 2, no password in it. */

import { MASK } from './auth-schema.ts';
import type { AuthConfig, Endpoint } from './endpoint.ts';

/** Authenticators with their passwords masked. */
export function maskAuth(list: AuthConfig[] | null): AuthConfig[] | null {
  return list?.map((entry) => ({ ...entry, users: entry.users.map((user) => ({ ...user, password: MASK })) })) ?? null;
}

/**
 * What an answer shows of an endpoint. It may be sent back as an update: masked passwords then keep their values.
 * `authType`/`authConfig` and `aclType`/`aclConfig` are null where the node's own are used.
 */
export function toPublicEndpoint(endpoint: Endpoint): Record<string, unknown> {
  const { authConfig, aclConfig, id, port, host, useWebsocket, path, enableAuth, enableAcl, ...rest } = endpoint;
  const masked = maskAuth(authConfig);
  const only = masked?.length === 1 ? masked[0] : undefined;
  return {
    id,
    port,
    host,
    useWebsocket,
    path,
    enableAuth,
    authType: authConfig === null ? null : 'fixed',
    authConfig: only === undefined ? masked : { filter: only.filter, users: only.users },
    enableAcl,
    aclType: aclConfig === null ? null : 'config',
    aclConfig,
    enableBridge: false,
    bridgeConfig: {},
    proxy: false,
    sslConfig: {},
    ...rest,
  };
}
