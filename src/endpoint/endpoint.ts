/** An endpoint in its complete, validated form, with every default filled in (docs/endpoints.md). */

import type { Effect, ValuesOf } from './keys/key.ts';
import type { ENDPOINT_KEYS } from './keys/table.ts';

export type {
  AclConfig,
  AclRule,
  AskedAuthConfig,
  AskTerms,
  AuthConfig,
  AuthFilter,
  AuthType,
  DatabaseAuthConfig,
  Encryption,
  FileAuthConfig,
  FixedAuthConfig,
  FixedUser,
  HttpAuthConfig,
  JwtAuthConfig,
  OwnRights,
  RecordTerms,
  RedisAuthConfig,
  RedisServers,
  X509AuthConfig,
} from './access/config.ts';
export { AUTH_TYPES, ENCRYPTIONS } from './access/config.ts';
export type { Effect } from './keys/key.ts';
export { KEEP_ALIVE_MAX } from './keys/limits.ts';
export type { TlsVersion } from './keys/tls.ts';

/** A configured port. Every key is present, and keys/table.ts says what each one means. */
export type Endpoint = ValuesOf<typeof ENDPOINT_KEYS>;

export type ServerOptions = Endpoint['serverOptions'];
export type ChildOptions = Endpoint['childOptions'];

/** TLS of an endpoint. Every key is present; null: not configured (docs/tls.md). */
export type SslConfig = Endpoint['sslConfig'];

/** One changed key. */
export interface KeyChange {
  path: string;
  from: unknown;
  to: unknown;
  effect: Effect;
}

/** Hosts that mean all addresses of a machine. */
const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** True for a host on which a listener accepts on every address, of IPv4 or of both families. */
export function isEveryAddress(host: string): boolean {
  return EVERY_ADDRESS.has(host);
}
