/** A TLS handshake with itself, in memory: proves that material works, and shows which certificates a client receives. */

import { X509Certificate } from 'node:crypto';
import { duplexPair } from 'node:stream';
import { connect, type DetailedPeerCertificate, type SecureContext, TLSSocket } from 'node:tls';

/** Every suite that OpenSSL has, so that only the server's suites limit the handshake. */
const ALL_SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_128_CCM_SHA256',
  'TLS_AES_128_CCM_8_SHA256',
  'ALL',
  '@SECLEVEL=0',
].join(':');
const TIMEOUT_MS = 5_000;
const CHAIN_MAX = 20;

/** @returns the certificates that the server presents, its own first. @throws Error with the reason of a failed handshake */
export function tryHandshake(secureContext: SecureContext): Promise<X509Certificate[]> {
  const [near, far] = duplexPair();
  const server = new TLSSocket(far, { isServer: true, secureContext });
  const client = connect({ socket: near, rejectUnauthorized: false, ciphers: ALL_SUITES });
  let timer: NodeJS.Timeout | undefined;
  return new Promise<X509Certificate[]>((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    // The server's own error comes first, because it says more than the alert that the client receives.
    server.once('error', reject);
    client.once('error', (error) => setImmediate(reject, error));
    client.once('secureConnect', () => resolve(chainOf(client.getPeerCertificate(true))));
  }).finally(() => {
    clearTimeout(timer);
    for (const socket of [client, server]) socket.on('error', () => socket.destroy()).destroy();
  });
}

function chainOf(leaf: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = leaf;
  // A root is its own issuer.
  while (next?.raw !== undefined && chain.length < CHAIN_MAX) {
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}
