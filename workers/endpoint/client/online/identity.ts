/** A client's names, and the parts of its CONNECT that outlive the handshake. */

import type { OwnRights } from '../../../../src/endpoint/endpoint.ts';
import { steadyNow, wallNow } from '../../../../src/kernel/clock.ts';
import type { ScramMethod } from '../../../../src/kernel/logins/scram.ts';
import type { ConnectPacket } from '../../../../src/mqtt/packet.ts';
import type { Accepted } from '../../access/credentials.ts';

/** new → connecting (Client.beginConnect) → online (Client.goOnline) → closed. Any state may go to closed. */
export type ClientState = 'new' | 'connecting' | 'online' | 'closed';

/** The part of a CONNECT that applies from the moment the client is online. */
export type OnlineTerms = Pick<ConnectPacket, 'receiveMaximum' | 'topicAliasMaximum'>;

/** The method of an enhanced authentication, and the server's last message in it. */
export interface Exchanged {
  method: ScramMethod;
  proof: Buffer;
}

/** The names of a client and the requests of its CONNECT. The steps of CONNECT fill this object; it is complete when the client is online. */
export class ClientIdentity {
  clientId = '';
  username: string | null = null;
  /** the authenticated user; null when the endpoint demands no login */
  login: string | null = null;
  /** the identifier that the login demands; null: that of CONNECT */
  loginClientId: string | null = null;
  /** given by the authenticator, beside the rules of the endpoint; null: none */
  rights: OwnRights | null = null;
  /** steady milliseconds at which the login ends; Infinity: never */
  loginEndsAt = Number.POSITIVE_INFINITY;
  /** of the enhanced authentication that let the client in; null: there was none */
  method: ScramMethod | null = null;
  /** the server's proof in that authentication */
  proof: Buffer | null = null;
  cleanStart = true;
  /** seconds; 0: no limit */
  keepAlive = 0;
  /** steady milliseconds at which CONNECT came; 0 before */
  connectAt = 0;
  /** wall milliseconds at which the client went online; 0 before */
  connectedAt = 0;
  /** MQTT 5: whether answers may carry a reason string [MQTT-3.1.2-29] */
  requestProblemInformation = true;

  /** Takes the facts of a CONNECT. The identifier follows later, because the server may assign it; a login may change the user name. */
  begin(packet: Pick<ConnectPacket, 'username' | 'cleanStart' | 'requestProblemInformation'>): void {
    this.connectAt = steadyNow();
    this.username = packet.username;
    this.cleanStart = packet.cleanStart;
    this.requestProblemInformation = packet.requestProblemInformation;
  }

  /** Takes what an authenticator has decided. */
  authenticated({ username, clientId, rights, expireAt }: Accepted, exchanged: Exchanged | null): void {
    this.method = exchanged?.method ?? null;
    this.proof = exchanged?.proof ?? null;
    this.username = username;
    this.login = username;
    this.loginClientId = clientId ?? null;
    this.rights = rights ?? null;
    if (expireAt !== undefined) this.loginEndsAt = steadyNow() + Math.max(0, expireAt - wallNow());
  }
}
