/** Whether uWebSockets.js carries an endpoint's WebSockets, and why not. */

import type { Endpoint } from '../endpoint/endpoint.ts';
import { lackingForMemoryFiles } from './memory-file.ts';
import type { TlsMaterial } from './tls-material.ts';

/** Deadline of uWebSockets.js for the TLS handshake and the request together. It cannot be changed. */
const HANDSHAKE_MS = 10_000;

/** An endpoint as it runs. */
export interface WebSocketTerms {
  endpoint: Pick<Endpoint, 'websocketTransport' | 'childOptions' | 'handshakeTimeout'>;
  /** null: no TLS */
  tls: TlsMaterial | null;
}

/**
 * The reason why the built-in transport serves; null: uWebSockets.js does. Main and workers come to the same result.
 * `auto` takes uWebSockets.js for TLS alone. Measured without TLS: connects cost 1.1 times the CPU time, clients that flood with one packet a
 * frame 1.7 times, and nothing gains clearly.
 * @param lacking why this machine cannot load uWebSockets.js; null: it can
 */
export function reasonForBuiltin({ endpoint, tls }: WebSocketTerms, lacking: () => string | null): string | null {
  const { childOptions, handshakeTimeout } = endpoint;
  const websocketTransport = endpoint.websocketTransport ?? 'auto';
  if (websocketTransport === 'builtin') return 'websocketTransport is builtin';
  if (websocketTransport === 'auto' && tls === null) return 'without TLS the built-in transport costs less';
  if (childOptions.soLinger === 0) return 'soLinger is 0';
  if (tls !== null) {
    const reason = reasonOfTls(tls);
    if (reason !== null) return reason;
    if (handshakeTimeout < HANDSHAKE_MS) return `handshakeTimeout is below ${HANDSHAKE_MS} ms`;
  }
  return lacking();
}

function reasonOfTls({ clientAuth, pfx, cipherSuites, protocols }: TlsMaterial): string | null {
  if (clientAuth !== 'none') return 'client certificates are asked for';
  if (pfx !== null) return 'the certificate is a PKCS#12 file';
  if (cipherSuites.length > 0) return 'cipher suites are chosen';
  if (protocols.length !== 2) return 'TLS versions are chosen';
  // uWebSockets.js reads its private key from a file, which must not reach a disk.
  return lackingForMemoryFiles();
}
