/** Enhanced authentication by SCRAM (MQTT 5 section 4.12): in CONNECT, and again on an open connection. */

import { readScramFirst, SCRAM_METHODS, ScramError, ScramExchange, type ScramMethod } from '../../../../src/kernel/logins/scram.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { AuthPacket, ConnectPacket } from '../../../../src/mqtt/packet.ts';
import { encodeAuth } from '../../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Named, SecretOffer } from '../../access/authenticator.ts';
import type { Accepted } from '../../access/credentials.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import { withdrawRights } from '../../client/online/withdraw-rights.ts';
import { credentialsOf, noteFailedLogin } from './login.ts';

/** The time that a client has to answer the server's message, milliseconds. */
const ANSWER_MS = 30_000;
const TOO_LARGE = 'AUTH is larger than the Maximum Packet Size';

/** How an exchange ends. */
interface Ending {
  accepted(login: Accepted, proof: Buffer): void;
  refused(reasonCode: number, reasonString?: string): void;
}

/** Begins the exchange of a CONNECT. @param then called with the client let in; CONNACK will carry the server's proof */
export function authenticateByExchange(client: Client, packet: ConnectPacket, then: () => void): void {
  const { endpoint, auth } = client.endpoint.config;
  const method = SCRAM_METHODS.find((name) => name === packet.authenticationMethod);
  if (method === undefined || !endpoint.enableAuth || !client.context.authenticator.takesScram(auth)) {
    client.refuse(REASON.badAuthenticationMethod, 'The endpoint does not support this authentication method', 'refusedBadConnect');
    return;
  }
  begin(client, method, packet.authenticationData, packet.clientId, packet.username, {
    accepted: (login, proof) => {
      client.authenticated(login, { method, proof });
      then();
    },
    refused: (reasonCode, reasonString) =>
      client.refuse(reasonCode === REASON.notAuthorized ? REASON.badUserNameOrPassword : reasonCode, reasonString, 'errorAuthFailed'),
  });
}

/** AUTH of a client. @throws ProtocolError when no AUTH is in order */
export function handleAuth(client: Client, packet: AuthPacket): void {
  const { exchange } = client;
  const known = exchange.current?.method ?? client.identity.method;
  if (known === null) throw new ProtocolError(REASON.protocolError, 'AUTH without an authentication method');
  // [MQTT-4.12.0-5] and [MQTT-4.12.1-1]
  if (packet.authenticationMethod !== known) throw new ProtocolError(REASON.protocolError, 'AUTH has another method than CONNECT');
  if (packet.reasonCode === REASON.continueAuthentication) {
    const next = exchange.take();
    if (next === null) throw new ProtocolError(REASON.protocolError, 'AUTH continues no authentication');
    next(packet.authenticationData);
    return;
  }
  if (exchange.current !== null || !client.isOnline) throw new ProtocolError(REASON.protocolError, 'AUTH begins a second authentication');
  reAuthenticate(client, known, packet);
}

/** Until the end of the exchange, the rights of the login before apply [MQTT-4.12.1-2]. */
function reAuthenticate(client: Client, method: ScramMethod, packet: AuthPacket): void {
  const { clientId } = client;
  begin(client, method, packet.authenticationData, clientId, client.identity.login, {
    accepted: (login, proof) => {
      client.authenticated(login, { method, proof });
      if (!sendAuth(client, REASON.success, method, proof)) {
        client.close(REASON.packetTooLarge, TOO_LARGE);
        return;
      }
      const { session } = client;
      if (session === null) return;
      if (session.holder !== null) session.holder = { ...session.holder, rights: client.rights };
      void withdrawRights(client, session).catch((error: unknown) => client.fail(error));
    },
    refused: (reasonCode, reasonString) => {
      client.endpoint.count('errorAuthFailed');
      client.close(reasonCode, reasonString);
    },
  });
}

/** @param expected the only user name that may come; null: any */
function begin(client: Client, method: ScramMethod, data: Buffer | null, clientId: string, expected: string | null, ending: Ending): void {
  client.exchange.begin(method);
  challenge(client, method, data, clientId, expected, ending).catch((error: unknown) => {
    if (error instanceof ScramError) end(client, () => ending.refused(REASON.notAuthorized, error.message));
    else client.fail(error);
  });
}

async function challenge(
  client: Client,
  method: ScramMethod,
  data: Buffer | null,
  clientId: string,
  expected: string | null,
  ending: Ending,
): Promise<void> {
  if (data === null) throw new ScramError('The first SCRAM message is missing');
  const first = readScramFirst(data);
  if (expected !== null && expected !== first.username) throw new ScramError('The SCRAM message is of another user');
  const { context, endpoint } = client;
  const who: Named = { ...credentialsOf(client, clientId, { username: null, password: null }), username: first.username };
  const offer = await context.authenticator.secretOf(endpoint.config.auth, who, method, endpoint.slots);
  if (client.isClosed) return;
  if (offer === 'serverUnavailable') {
    end(client, () => ending.refused(REASON.serverUnavailable));
    return;
  }
  const scram = new ScramExchange(first, offer.secret);
  const judge = (answer: Buffer | null): void => {
    // What follows the proof waits for its judgement.
    client.hold(HOLD.connect);
    finish(client, who, offer, scram, answer, ending).catch((error: unknown) => client.fail(error));
  };
  const late = () => end(client, () => ending.refused(REASON.notAuthorized, 'AUTH did not come in time'));
  client.exchange.await(judge, ANSWER_MS, late);
  if (sendAuth(client, REASON.continueAuthentication, method, Buffer.from(scram.challenge))) client.release(HOLD.connect);
  else end(client, () => ending.refused(REASON.packetTooLarge, TOO_LARGE));
}

/** Sends AUTH, unless the packet is larger than the client takes [MQTT-3.1.2-24]. */
function sendAuth(client: Client, reasonCode: number, authenticationMethod: ScramMethod, authenticationData: Buffer): boolean {
  const bytes = encodeAuth(reasonCode, { authenticationMethod, authenticationData });
  const { maximumPacketSize } = client.sender;
  if (maximumPacketSize > 0 && bytes.length > maximumPacketSize) return false;
  client.write(bytes);
  return true;
}

async function finish(
  client: Client,
  who: Named,
  offer: SecretOffer,
  scram: ScramExchange,
  data: Buffer | null,
  ending: Ending,
): Promise<void> {
  const { context, endpoint, isOnline } = client;
  let proof: string | null = null;
  const isRight = (): boolean => {
    try {
      proof = data === null ? null : scram.finish(data);
    } catch (error) {
      if (!(error instanceof ScramError)) throw error;
    }
    return proof !== null;
  };
  const result = await context.authenticator.checkProof(who, offer, isRight, () => client.isClosed, endpoint.slots);
  const now = result.ok ? await offerOfNow(client, who, offer) : null;
  if (client.isClosed) return;
  if (result.ok && now !== null) {
    end(client, () => ending.accepted({ ok: true, username: result.username, ...rightsOf(now) }, Buffer.from(proof ?? '')));
    // Before CONNACK the input waits on.
    if (isOnline) client.release(HOLD.connect);
    return;
  }
  noteFailedLogin(client, who.clientId, who.username);
  const isUnavailable = !result.ok && result.reason === 'serverUnavailable';
  end(client, () => ending.refused(isUnavailable ? REASON.serverUnavailable : REASON.notAuthorized));
}

/** The offer as it would be made now: the user may have been removed or changed since the challenge. Null: the proof is of no use any more. */
async function offerOfNow({ context, endpoint }: Client, who: Named, offer: SecretOffer): Promise<SecretOffer | null> {
  const now = await context.authenticator.secretOf(endpoint.config.auth, who, offer.secret.method, endpoint.slots);
  return now !== 'serverUnavailable' && now.secret.storedKey.equals(offer.secret.storedKey) ? now : null;
}

function rightsOf({ rights }: SecretOffer): Pick<SecretOffer, 'rights'> {
  return rights === undefined ? {} : { rights };
}

/** Ends the exchange, then acts. */
function end(client: Client, act: () => void): void {
  client.exchange.end();
  act();
}
