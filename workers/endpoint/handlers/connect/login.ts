/** The login of a CONNECT, where the endpoint demands one. */

import type { ConnectPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Credentials } from '../../access/credentials.ts';
import type { Client } from '../../client/client.ts';

/** What a client logs in with, by the name that it gives itself. */
export function credentialsOf(
  client: Client,
  clientId: string,
  { username, password }: Pick<ConnectPacket, 'username' | 'password'>,
): Credentials {
  const { endpoint } = client.endpoint.config;
  const { address } = client.connection;
  const certificate = client.connection.clientCertificate?.() ?? null;
  return { clientId, username, password, address, endpoint: endpoint.id, namespace: endpoint.namespace, certificate };
}

export function noteFailedLogin(client: Client, clientId: string, username: string | null): void {
  const { port } = client.endpoint.config.endpoint;
  client.context.logger.warn(`Auth failed on Endpoint ${port}`, { clientId, username, address: client.connection.address });
}

/** @returns false when the client is refused or has left */
export async function authenticate(client: Client, packet: ConnectPacket): Promise<boolean> {
  const { auth } = client.endpoint.config;
  const { clientId, username, password } = packet;
  if (username === null && password === null && clientId.startsWith(client.context.probePrefix)) {
    // A health check of this node brings no login. It must not count as a guess, nor slow down other clients of its address. A client
    // with a login is checked and counted, whatever its identifier.
    client.refuse(REASON.notAuthorized);
    return false;
  }
  const who = credentialsOf(client, clientId, packet);
  const result = await client.context.authenticator.check(auth, who, () => client.isClosed, client.endpoint.slots);
  if (client.isClosed) return false;
  if (result.ok) {
    client.authenticated(result);
    return true;
  }
  // A token in place of the name is a secret.
  const isToken = auth.some((entry) => entry.authType === 'jwt' && entry.from === 'username');
  noteFailedLogin(client, clientId, isToken ? null : username);
  if (result.reason === 'serverUnavailable') client.refuse(REASON.serverUnavailable, undefined, 'errorAuthFailed');
  else client.refuse(username === null ? REASON.notAuthorized : REASON.badUserNameOrPassword, undefined, 'errorAuthFailed');
  return false;
}
