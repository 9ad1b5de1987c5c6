/** Names in a client certificate. */

import type { X509Certificate } from 'node:crypto';
import type { X509AuthConfig } from '../../../src/endpoint/endpoint.ts';

const SAN_KINDS = { dns: 'DNS', email: 'email', uri: 'URI' } as const;
/** Node writes a value that needs it as a JSON string: what stands in quotes begins no other name. */
const SAN = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)/g;
/** Two bytes count the length of a name in MQTT. */
const NAME_BYTES_MAX = 65_535;

/** The common name of the subject; null: there is none, more than one, or one with control characters. */
export function commonNameOf(certificate: X509Certificate | null): string | null {
  return usable(certificate?.toLegacyObject().subject?.CN);
}

/** The name that the configuration asks for; of several alternative names the first. Null: there is none. */
export function certifiedName(certificate: X509Certificate, use: X509AuthConfig['use']): string | null {
  if (use === 'commonName') return commonNameOf(certificate);
  if (use === 'subject') return usable(certificate.subject?.split('\n').reverse().join(','));
  for (const [, kind, value = ''] of (certificate.subjectAltName ?? '').matchAll(SAN)) {
    if (kind === SAN_KINDS[use]) return usable(value.startsWith('"') ? (JSON.parse(value) as unknown) : value);
  }
  return null;
}

function usable(name: unknown): string | null {
  if (typeof name !== 'string' || name === '' || /\p{Cc}/u.test(name)) return null;
  return Buffer.byteLength(name) > NAME_BYTES_MAX ? null : name;
}
