/** The protection of a database connection: translates `sslmode` and its relatives to options of node:tls. */

import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { messageOf } from '../kernel/errors.ts';
import type { DatabaseLogin } from '../kernel/input/database-url.ts';
import { SqlFailure } from './connection.ts';

export interface TlsDemands {
  /** whether the connection may continue without TLS */
  isOptional: boolean;
  /** whether the certificate must come from a trusted authority */
  rejectUnauthorized: boolean;
  /** whether the certificate must name the host */
  verifyIdentity: boolean;
  /** PEM; the usual authorities and the configured one */
  ca: string[] | undefined;
}

/** Null: no TLS. @throws SqlFailure `tls` when the file of authorities cannot be read */
export function tlsDemands({ tls, ca }: DatabaseLogin): TlsDemands | null {
  if (tls === 'off') return null;
  const isVerified = tls === 'verify-ca' || tls === 'verify-full';
  return {
    isOptional: tls === 'prefer',
    rejectUnauthorized: isVerified,
    verifyIdentity: tls === 'verify-full',
    ca: ca === null ? undefined : [...rootCertificates, readCa(ca)],
  };
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new SqlFailure('tls', `The certificate file ${path} cannot be read: ${messageOf(error)}`, error);
  }
}

/** True for errors of node:tls about an untrusted certificate or a failed handshake. */
export function isTlsError({ code = '', message }: NodeJS.ErrnoException): boolean {
  return (
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|EPROTO)/.test(code) || /SSL routines/.test(message)
  );
}
