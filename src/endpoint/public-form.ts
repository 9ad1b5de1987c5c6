/** The JSON form of an endpoint in answers: every key (docs/endpoints.md), no password. */

import type { OneAuthConfig } from './access/forms.ts';
import type { AuthConfig, Endpoint } from './endpoint.ts';
import type { PublicEndpoint } from './keys/form-schemas.ts';
import { withoutForeign } from './secrets/foreign.ts';
import { maskSecrets } from './secrets/secrets.ts';
import { toPublicSslConfig } from './ssl-schema.ts';

/**
 * The form of an endpoint in answers. A client may send it back as an update: masked passwords keep their values.
 * `authType`/`authConfig` and `aclType`/`aclConfig` are null when the node's own apply.
 */
export function toPublicEndpoint(endpoint: Endpoint): PublicEndpoint {
  return toDocument(maskSecrets(withoutForeign(endpoint)));
}

/** The same form with its secrets in clear, for files that are read back. */
export function toDocument(endpoint: Endpoint): PublicEndpoint {
  const { authConfig, aclConfig, id, port, host, useWebsocket, path, enableAuth, enableAcl, sslConfig, ...rest } = endpoint;
  const only = authConfig?.length === 1 ? authConfig[0] : undefined;
  return {
    id,
    port,
    host,
    useWebsocket,
    path,
    enableAuth,
    authType: authConfig === null ? null : (authConfig[0]?.authType ?? 'fixed'),
    authConfig: only === undefined ? authConfig : withoutType(only),
    enableAcl,
    aclType: aclConfig === null ? null : 'config',
    aclConfig,
    enableBridge: false,
    bridgeConfig: {},
    proxy: false,
    sslConfig: toPublicSslConfig(sslConfig),
    ...rest,
  };
}

/** `authType` stands beside the configuration of a single authenticator. */
function withoutType(entry: AuthConfig): OneAuthConfig {
  const { authType, ...config } = entry;
  return config;
}
