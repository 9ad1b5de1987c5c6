/** Properties of a TLS socket that have no public name in Node. */

import type net from 'node:net';
import type tls from 'node:tls';

interface LayeredSocket extends tls.TLSSocket {
  _parent?: net.Socket | null;
  _handle: { verifyError?(): NodeJS.ErrnoException | null } | null;
}

/** The socket below; null when this Node does not tell, or there is none. */
export function socketBelow(socket: tls.TLSSocket): net.Socket | null {
  return (socket as LayeredSocket)._parent ?? null;
}

/** OpenSSL's verdict on the client's certificate before the handshake is done, by its code; null: it is good, or this Node does not tell. */
export function earlyVerdict(socket: tls.TLSSocket): string | null {
  return (socket as LayeredSocket)._handle?.verifyError?.()?.code ?? null;
}
