/** The node's own configuration in its complete form: config.yaml + environment, every default filled in (SPEC.md section 1). */

import type { AclConfig, AuthConfig, Endpoint } from '../endpoint/endpoint.ts';

export interface Settings {
  node: { name: string };
  http: { host: string; port: number; username: string; /** null: no login (loopback only); clear or `scrypt$…` */ password: string | null; accessLog: boolean; viewers: { username: string; password: string }[] };
  store: { storeType: 'LOCAL' | 'MEMORY'; local: { dataPath: string } };
  auth: AuthConfig[];
  acl: AclConfig;
  /** the first content of an empty store */
  endpoints: Endpoint[];
  log: { level: 'debug' | 'info' | 'warn' | 'error'; file: string; /** bytes */ maxSize: number; maxFiles: number };
  /** milliseconds, SIGTERM to exit */
  shutdownTimeout: number;
}
