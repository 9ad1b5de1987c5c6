/** Names in a client certificate that TLS has verified. */

import type { X509Certificate } from 'node:crypto';

/** Node writes a value that needs it as a JSON string: what stands in quotes begins no other name. */
const SAN = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)/g;

/** Two bytes count the length of a name in MQTT. */
const NAME_BYTES_MAX = 65_535;

/** An alternative name (RFC 5280 section 4.2.1.6), with its kind as Node writes it: `DNS`, `email`, `URI`, … */
export interface AlternativeName {
  kind: string;
  value: unknown;
}

/** The common name of the subject; null: there is none, more than one, or one with control characters. */
export function commonNameOf(certificate: X509Certificate | null): string | null {
  return usableName(certificate?.toLegacyObject().subject?.CN);
}

/** The alternative names, in the order of the certificate. */
export function alternativeNamesOf(certificate: X509Certificate): AlternativeName[] {
  return [...(certificate.subjectAltName ?? '').matchAll(SAN)].map(([, kind = '', value = '']) => {
    return { kind, value: value.startsWith('"') ? (JSON.parse(value) as unknown) : value };
  });
}

/** A name that may be a user name; null: it may not. */
export function usableName(name: unknown): string | null {
  if (typeof name !== 'string' || name === '' || /\p{Cc}/u.test(name)) return null;
  return Buffer.byteLength(name) > NAME_BYTES_MAX ? null : name;
}
