/** The name of a client certificate that an authenticator asks for. */

import type { X509Certificate } from 'node:crypto';
import type { X509AuthConfig } from '../../../src/endpoint/endpoint.ts';
import { alternativeNamesOf, commonNameOf, usableName } from '../../../src/kernel/logins/certificate-names.ts';

const SAN_KINDS = { dns: 'DNS', email: 'email', uri: 'URI' } as const;

/** The name that the configuration asks for; of several alternative names the first. Null: there is none. */
export function certifiedName(certificate: X509Certificate, use: X509AuthConfig['use']): string | null {
  if (use === 'commonName') return commonNameOf(certificate);
  if (use === 'subject') return usableName(certificate.subject?.split('\n').reverse().join(','));
  const found = alternativeNamesOf(certificate).find(({ kind }) => kind === SAN_KINDS[use]);
  return usableName(found?.value);
}
