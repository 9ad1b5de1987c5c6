/** The endpoint that results from a port alone (docs/endpoints.md, column "default"). */

import type { AclConfig, Endpoint, SslConfig } from './endpoint.ts';
import { defaultsOf } from './keys/key.ts';
import { ENDPOINT_KEYS } from './keys/table.ts';
import { TLS_KEYS } from './keys/tls.ts';

/** The least that one address may have, also at the smallest endpoint: a household may share the address. */
const PER_ADDRESS_MIN = 10;
const PART = 10;
const DEFAULT_SESSION_SIZE = 100;

/** The default of `maxSessionSize`: each client that is let in may have a persistent session. */
export function defaultSessionSize(maxConnectionSize: number): number {
  return Math.max(DEFAULT_SESSION_SIZE, maxConnectionSize);
}

/** No TLS. */
export function defaultSslConfig(): SslConfig {
  return defaultsOf(TLS_KEYS, 0);
}

/** A complete endpoint with every default. `port` is 1..65535. */
export function defaultEndpoint(port: number): Endpoint {
  return defaultsOf(ENDPOINT_KEYS, port);
}

/** Connections at one time from one address: `maxConnectionPerAddress`, else a tenth of the endpoint's. */
export function connectionsPerAddress({ maxConnectionPerAddress, maxConnectionSize }: Endpoint): number {
  return maxConnectionPerAddress ?? tenthOf(maxConnectionSize);
}

/** New connections a second from one address: `maxConnectionPerAddressPerSecond`, else a tenth of the endpoint's. */
export function ratePerAddress({ maxConnectionPerAddressPerSecond, maxConnectionPerSecond }: Endpoint): number {
  return maxConnectionPerAddressPerSecond ?? tenthOf(maxConnectionPerSecond);
}

function tenthOf(whole: number): number {
  return Math.max(PER_ADDRESS_MIN, Math.ceil(whole / PART));
}

/** Completes an endpoint of an older version with the keys that it did not know. */
export function completeEndpoint(stored: Partial<Endpoint> & { port: number }): Endpoint {
  const defaults = defaultEndpoint(stored.port);
  return {
    ...defaults,
    ...stored,
    sslConfig: { ...defaults.sslConfig, ...stored.sslConfig },
    serverOptions: { ...defaults.serverOptions, ...stored.serverOptions },
    childOptions: { ...defaults.childOptions, ...stored.childOptions },
    aclConfig: stored.aclConfig ? completeAcl(stored.aclConfig) : null,
  };
}

/** Rules that were stored before there was an order: an allow beat every deny, and still does. */
function completeAcl(stored: Partial<Pick<AclConfig, 'order'>> & Omit<AclConfig, 'order'>): AclConfig {
  return { ...stored, order: stored.order ?? 'allow-overrides' };
}
