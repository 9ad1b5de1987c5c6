/** The TLS of an endpoint as plain data: read and tried by main, so that all workers have the same bytes and read no file. */

import { versionOfSuite } from '../endpoint/cipher-suites.ts';
import type { TlsVersion } from '../endpoint/endpoint.ts';

/** What is known about the certificate that an endpoint shows. */
export interface CertificateFacts {
  subject: string;
  issuer: string;
  /** SHA-256, hexadecimal with colons */
  fingerprint: string;
  /** ISO 8601 */
  notBefore: string;
  /** ISO 8601; of the certificate, or of one of its chain that ends sooner */
  notAfter: string;
  /** ISO 8601: when the first revocation list expires; from then on no client certificate is accepted. Null without lists */
  crlNextUpdate: string | null;
}

/** Either `cert` and `key`, or `pfx`. */
export interface TlsMaterial {
  /** digest of the sources: another one means other material */
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
  /** shared by the workers, so that a client may resume at another one; new with each material, so that nobody resumes what it ended */
  ticketKeys: Uint8Array;
  certificate: CertificateFacts;
}

/** The options of node:tls that all users of a material have in common. */
export function toTlsOptions(material: TlsMaterial) {
  const { cert, key, pfx, passphrase, ca, crl, cipherSuites } = material;
  // Node goes on offering the default suites of a version of which none is named.
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
