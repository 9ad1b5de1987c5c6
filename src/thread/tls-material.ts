/** The TLS of an endpoint as plain data. Main reads and tries it, so that all workers use the same bytes and read no file. */

import { versionOfSuite } from '../endpoint/cipher-suites.ts';
import type { TlsVersion } from '../endpoint/endpoint.ts';

/** Facts about the certificate that an endpoint shows. */
export interface CertificateFacts {
  subject: string;
  issuer: string;
  /** SHA-256, hexadecimal with colons */
  fingerprint: string;
  /** ISO 8601 */
  notBefore: string;
  /** ISO 8601; the earliest end in the certificate chain */
  notAfter: string;
  /** ISO 8601: when the first revocation list expires; from then on no client certificate is accepted. Null without lists */
  crlNextUpdate: string | null;
}

/** Either `cert` and `key`, or `pfx`. */
export interface TlsMaterial {
  /** digest of the sources: other material has another digest */
  digest: string;
  /** PEM */
  cert: string | null;
  /** PEM, not encrypted */
  key: string | null;
  /** PKCS#12 with its password in `passphrase` */
  pfx: Uint8Array | null;
  passphrase: string | null;
  /** PEM, one each */
  ca: string[];
  /** PEM, one each */
  crl: string[];
  protocols: TlsVersion[];
  /** OpenSSL's names; empty: the default ones */
  cipherSuites: string[];
  clientAuth: 'none' | 'optional' | 'required';
  /** shared by the workers, so that a client may resume its TLS session at another worker; new with each material, so that no session outlives it */
  ticketKeys: Uint8Array;
  certificate: CertificateFacts;
}

/** Options of node:tls that are the same for all users of a material. */
export function toTlsOptions(material: TlsMaterial) {
  const { cert, key, pfx, passphrase, ca, crl, cipherSuites } = material;
  // Node offers the default suites of a TLS version for which the list names none.
  const versions = cipherSuites.length === 0 ? material.protocols : cipherSuites.map(versionOfSuite);
  const isOffered = (version: TlsVersion) => material.protocols.includes(version) && versions.includes(version);
  return {
    ...(pfx === null ? { cert: cert ?? '', key: key ?? '' } : { pfx: Buffer.from(pfx), passphrase: passphrase ?? '' }),
    ...(ca.length > 0 ? { ca } : {}),
    ...(crl.length > 0 ? { crl } : {}),
    ...(cipherSuites.length > 0 ? { ciphers: cipherSuites.join(':'), honorCipherOrder: true } : {}),
    minVersion: isOffered('TLSv1.2') ? ('TLSv1.2' as const) : ('TLSv1.3' as const),
    maxVersion: isOffered('TLSv1.3') ? ('TLSv1.3' as const) : ('TLSv1.2' as const),
  };
}
