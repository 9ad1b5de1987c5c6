/** The contents of CONNACK: the identifier and the Keep Alive that the server chooses, and the limits of the endpoint. */

import { randomBytes } from 'node:crypto';
import { KEEP_ALIVE_MAX } from '../../../../src/endpoint/endpoint.ts';
import type { ConnectPacket } from '../../../../src/mqtt/packet.ts';
import { type ConnackProperties, encodeConnack } from '../../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Client } from '../../client/client.ts';

/** A CONNECT, and what the server has decided about it. */
export interface Connect {
  readonly packet: ConnectPacket;
  /** the client identifier of the client, or the one that the server assigns */
  readonly clientId: string;
  /** seconds; 0: no limit */
  readonly keepAlive: number;
}

export function connectOf(client: Client, packet: ConnectPacket): Connect {
  const assigned = () => `fluxmq-${randomBytes(12).toString('hex')}`;
  const clientId = client.identity.loginClientId ?? (packet.clientId === '' ? assigned() : packet.clientId);
  return { packet, clientId, keepAlive: allowedKeepAlive(client, packet.keepAlive) };
}

/** The client's Keep Alive within the endpoint's maximum. Only MQTT 5 can announce another value [MQTT-3.2.2-21]; others keep their own. */
function allowedKeepAlive(client: Client, asked: number): number {
  const { maxKeepAlive } = client.endpoint.config.endpoint;
  if (client.version < 5 || maxKeepAlive === KEEP_ALIVE_MAX) return asked;
  return asked === 0 ? maxKeepAlive : Math.min(asked, maxKeepAlive);
}

/** Refuses a client whose Maximum Packet Size is below its CONNACK, with a shorter packet if the client takes one [MQTT-3.1.2-24]. */
export function takesConnack(client: Client, connect: Connect): boolean {
  const { maximumPacketSize } = connect.packet;
  if (maximumPacketSize === 0) return true;
  const connack = { sessionPresent: false, reasonCode: REASON.success, properties: propertiesOf(client, connect) };
  if (encodeConnack(client.version, connack).length <= maximumPacketSize) return true;
  client.refuse(REASON.packetTooLarge, 'CONNACK is larger than the Maximum Packet Size', 'refusedBadConnect');
  return false;
}

/** The CONNACK of a client that is let in. */
export function connackOf(client: Client, connect: Connect, sessionPresent: boolean): Buffer {
  const properties = client.version === 5 ? propertiesOf(client, connect) : {};
  return encodeConnack(client.version, { sessionPresent, reasonCode: REASON.success, properties });
}

function propertiesOf(client: Client, { packet, clientId, keepAlive }: Connect): ConnackProperties {
  const { endpoint } = client.endpoint.config;
  const properties: ConnackProperties = {
    receiveMaximum: endpoint.maxReceiveWindowSize,
    maximumPacketSize: endpoint.messageMaxSize,
  };
  if (endpoint.maxTopicAlias > 0) properties.topicAliasMaximum = endpoint.maxTopicAlias;
  if (keepAlive !== packet.keepAlive) properties.serverKeepAlive = keepAlive;
  if (packet.clientId === '') properties.assignedClientIdentifier = clientId;
  const { method, proof } = client.identity;
  // [MQTT-4.12.0-5]
  if (method !== null) Object.assign(properties, { authenticationMethod: method, authenticationData: proof });
  return properties;
}
