/** The names that a client certificate proves at the admin API. */

import type { X509Certificate } from 'node:crypto';
import { alternativeNamesOf, commonNameOf, usableName } from '../../kernel/logins/certificate-names.ts';

/** The part of a TLS socket that knows the certificate. */
export interface CertifiedSocket {
  /** false: nobody vouches for the certificate, or there is none */
  authorized: boolean;
  getPeerX509Certificate(): X509Certificate | undefined;
}

/** Kinds of alternative names that name a person or a program. */
const KINDS: readonly string[] = ['DNS', 'email', 'URI'];

/** The common name, then the alternative names; none without a verified certificate. */
export function certifiedNames(socket: Partial<CertifiedSocket> | undefined): string[] {
  const certificate = socket?.authorized === true ? socket.getPeerX509Certificate?.() : undefined;
  if (certificate === undefined) return [];
  const others = alternativeNamesOf(certificate).filter(({ kind }) => KINDS.includes(kind));
  return [commonNameOf(certificate), ...others.map(({ value }) => usableName(value))].filter((name) => name !== null);
}
