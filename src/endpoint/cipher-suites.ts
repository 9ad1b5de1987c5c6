/** The names of TLS cipher suites, OpenSSL's and IANA's, and the protocol version of each suite. */

import { getCiphers } from 'node:tls';
import type { TlsVersion } from './endpoint.ts';

/** TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 → ECDHE-RSA-AES128-GCM-SHA256; the suites of TLS 1.3 have one name only. */
export function openSslName(name: string): string {
  const upper = name.toUpperCase();
  const parts = /^TLS_(?:(.+)_)?WITH_(.+)$/.exec(upper);
  if (parts === null) return upper;
  const cipher = (parts[2] ?? '')
    .replace(/AES_(\d+)/, 'AES$1')
    .replace('_CBC', '')
    .replace('CHACHA20_POLY1305_SHA256', 'CHACHA20_POLY1305')
    .replaceAll('_', '-');
  const exchange = parts[1] === undefined || parts[1] === 'RSA' ? '' : `${parts[1].replaceAll('_', '-')}-`;
  return exchange + cipher;
}

/** The reason why a suite cannot be used, or null. @param suite OpenSSL's name */
export function suiteProblem(suite: string): string | null {
  if (!getCiphers().includes(suite.toLowerCase())) return 'is not a cipher suite that OpenSSL knows here';
  return /(^|-)(PSK|SRP)-/.test(suite) ? 'works without certificates and cannot be used' : null;
}

/** TLS 1.3 has suites of its own and takes no others. @param suite OpenSSL's name */
export function versionOfSuite(suite: string): TlsVersion {
  return suite.startsWith('TLS_') ? 'TLSv1.3' : 'TLSv1.2';
}
