/** Opens a socket to a Postgres server, with TLS on request. The socket is our own, so that it can be destroyed at any moment. */

import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import { placeOf, SqlFailure } from '../connection.ts';
import { tlsDemands } from '../secure.ts';

/** SSLRequest (PostgreSQL's message flow): length 8, then the code that asks whether the server speaks TLS. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Connects `socket`, and returns the stream that carries the protocol: the socket itself, or TLS over it.
 * @throws SqlFailure `tls`; errors of node:net and node:tls
 */
export async function openSocket(socket: Socket, login: DatabaseLogin): Promise<Socket> {
  const demands = tlsDemands(login);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  await settled(socket, 'connect', () => socket.connect(login.port, login.host));
  if (demands === null) return socket;
  const answer = await settled<Buffer>(socket, 'data', () => socket.write(SSL_REQUEST));
  if (answer.toString('latin1') !== 'S') {
    if (demands.isOptional) return socket;
    throw new SqlFailure('tls', `Postgres at ${placeOf(login)} does not speak TLS, which sslmode=${login.tls} asks for`);
  }
  const { rejectUnauthorized, verifyIdentity, ca } = demands;
  const secure = connectTls({
    socket,
    rejectUnauthorized,
    ...(isIP(login.host) === 0 ? { servername: login.host } : {}),
    host: login.host,
    ...(ca === undefined ? {} : { ca }),
    ...(verifyIdentity ? {} : { checkServerIdentity: () => undefined }),
  });
  await settled(secure, 'secureConnect', () => undefined);
  return secure;
}

/** Waits for an event of the socket. Rejects when an error or the end of the socket comes first. */
function settled<T>(socket: Socket, event: string, start: () => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const clean = () => socket.off(event, onEvent).off('error', onError).off('close', onClose);
    const onEvent = (value: T) => {
      clean();
      resolve(value);
    };
    const onError = (error: Error) => {
      clean();
      reject(error);
    };
    const onClose = () => onError(Object.assign(new Error('the server closed the connection'), { code: 'ECONNRESET' }));
    socket.on(event, onEvent).on('error', onError).on('close', onClose);
    start();
  });
}
