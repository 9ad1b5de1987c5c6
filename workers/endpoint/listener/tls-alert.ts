/** TLS alerts for refused client certificates. Node judges a certificate only after OpenSSL has finished and sends no alert. */

import { createCipheriv, createHmac } from 'node:crypto';

/** AlertDescription (RFC 8446 section 6.2; for TLS 1.2, RFC 5246 section 7.2). */
const ALERT = {
  handshakeFailure: 40,
  badCertificate: 42,
  unsupportedCertificate: 43,
  certificateRevoked: 44,
  certificateExpired: 45,
  certificateUnknown: 46,
  unknownCa: 48,
  decryptError: 51,
  certificateRequired: 116,
} as const;

const FATAL = 2;
const TYPE_ALERT = 0x15;
const TYPE_APPLICATION_DATA = 0x17;
const NONCE_BYTES = 12;

/** OpenSSL's choice of alert (ssl_x509err2alert) for each error, by Node's name. */
const OF_ERROR: Readonly<Record<string, number>> = {
  CERT_HAS_EXPIRED: ALERT.certificateExpired,
  CRL_HAS_EXPIRED: ALERT.certificateExpired,
  CERT_REVOKED: ALERT.certificateRevoked,
  CERT_NOT_YET_VALID: ALERT.badCertificate,
  CRL_NOT_YET_VALID: ALERT.badCertificate,
  CERT_UNTRUSTED: ALERT.badCertificate,
  CERT_REJECTED: ALERT.badCertificate,
  ERROR_IN_CERT_NOT_BEFORE_FIELD: ALERT.badCertificate,
  ERROR_IN_CERT_NOT_AFTER_FIELD: ALERT.badCertificate,
  INVALID_PURPOSE: ALERT.unsupportedCertificate,
  CERT_SIGNATURE_FAILURE: ALERT.decryptError,
  CRL_SIGNATURE_FAILURE: ALERT.decryptError,
  UNABLE_TO_GET_ISSUER_CERT: ALERT.unknownCa,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ALERT.unknownCa,
  UNABLE_TO_GET_CRL: ALERT.unknownCa,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ALERT.unknownCa,
  DEPTH_ZERO_SELF_SIGNED_CERT: ALERT.unknownCa,
  SELF_SIGNED_CERT_IN_CHAIN: ALERT.unknownCa,
  CERT_CHAIN_TOO_LONG: ALERT.unknownCa,
  PATH_LENGTH_EXCEEDED: ALERT.unknownCa,
  INVALID_CA: ALERT.unknownCa,
};

/** Cipher suites of TLS 1.3: hash of the key schedule, cipher, bytes of its key and of its tag. */
const SUITES: Readonly<Record<string, readonly ['sha256' | 'sha384', string, number, number]>> = {
  TLS_AES_128_GCM_SHA256: ['sha256', 'aes-128-gcm', 16, 16],
  TLS_AES_256_GCM_SHA384: ['sha384', 'aes-256-gcm', 32, 16],
  TLS_CHACHA20_POLY1305_SHA256: ['sha256', 'chacha20-poly1305', 32, 16],
  TLS_AES_128_CCM_SHA256: ['sha256', 'aes-128-ccm', 16, 16],
  TLS_AES_128_CCM_8_SHA256: ['sha256', 'aes-128-ccm', 16, 8],
};

/** @param error Node's name of the verification error; null when a certificate is required and there is none */
export function alertFor(error: string | null, version: 'TLSv1.2' | 'TLSv1.3'): number {
  if (error !== null) return OF_ERROR[error] ?? ALERT.certificateUnknown;
  return version === 'TLSv1.3' ? ALERT.certificateRequired : ALERT.handshakeFailure;
}

/** The unencrypted record of the alert, valid before the server has switched to its keys (TLS 1.2). */
export function plainAlert(description: number): Buffer {
  return Buffer.from([TYPE_ALERT, 3, 3, 0, 2, FATAL, description]);
}

/**
 * The alert as the first record under the server's application keys (RFC 8446 section 5.2). Nothing else may be sent before it.
 * @param secret SERVER_TRAFFIC_SECRET_0
 * @returns null for an unknown suite
 */
export function sealedAlert(suite: string, secret: Buffer, description: number): Buffer | null {
  const known = SUITES[suite];
  if (known === undefined) return null;
  const [hash, cipher, keyBytes, tagBytes] = known;
  const inner = Buffer.from([FATAL, description, TYPE_ALERT]);
  const header = Buffer.from([TYPE_APPLICATION_DATA, 3, 3, 0, inner.length + tagBytes]);
  const key = expandLabel(hash, secret, 'key', keyBytes);
  // The nonce is the IV XOR the record number, which is 0.
  const nonce = expandLabel(hash, secret, 'iv', NONCE_BYTES);
  // A cast to one cipher serves all: Node declares a separate type for each cipher family.
  const sealing = createCipheriv(cipher as 'aes-128-ccm', key, nonce, { authTagLength: tagBytes });
  sealing.setAAD(header, { plaintextLength: inner.length });
  const sealed = Buffer.concat([sealing.update(inner), sealing.final()]);
  return Buffer.concat([header, sealed, sealing.getAuthTag()]);
}

/** HKDF-Expand-Label with an empty context (RFC 8446 section 7.1); at most as many bytes as the hash has. */
function expandLabel(hash: string, secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])]);
  return createHmac(hash, secret).update(info).digest().subarray(0, length);
}
