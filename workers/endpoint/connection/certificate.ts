/** Names in a client certificate. */

import type { X509Certificate } from 'node:crypto';

/** The common name of the subject; null: there is none, or more than one. */
export function commonNameOf(certificate: X509Certificate | null | undefined): string | null {
  const name: unknown = certificate?.toLegacyObject().subject?.CN;
  return typeof name === 'string' && name !== '' ? name : null;
}
