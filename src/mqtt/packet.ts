/** MQTT control packets in decoded form (MQTT 3.1, 3.1.1 and 5.0), with the names of the standard. */

/** 3 = MQTT 3.1, 4 = MQTT 3.1.1, 5 = MQTT 5.0: the protocol level byte of CONNECT. */
export type ProtocolVersion = 3 | 4 | 5;
export type QoS = 0 | 1 | 2;

/** User properties keep their order [MQTT-3.3.2-18]. */
export type UserProperties = [name: string, value: string][];

/** The properties of PUBLISH and of a will that a server interprets; all others are forwarded as bytes. */
export interface PublishProperties {
  /** 0 = absent */
  topicAlias: number;
  /** seconds; -1 = absent */
  messageExpiryInterval: number;
  /**
   * Encoded properties that are forwarded unaltered and in order: payload format indicator, content type, response topic, correlation data,
   * user properties. Without length prefix. May be a view of the input: copy what outlives the tick.
   */
  forward: Buffer;
}

export interface Will {
  /** UTF-8 text */
  topic: string;
  payload: Buffer;
  qos: QoS;
  retain: boolean;
  /** seconds, 0 for version < 5 */
  willDelayInterval: number;
  properties: PublishProperties | null;
}

export interface ConnectPacket {
  type: 'connect';
  protocolVersion: ProtocolVersion;
  cleanStart: boolean;
  /** seconds, 0 = none */
  keepAlive: number;
  clientId: string;
  username: string | null;
  password: Buffer | null;
  will: Will | null;
  /** seconds; 0xFFFFFFFF = never. Version < 5: 0 with clean session, else 0xFFFFFFFF */
  sessionExpiryInterval: number;
  /** 65535 when absent */
  receiveMaximum: number;
  /** bytes; 0 = no limit */
  maximumPacketSize: number;
  /** 0 when absent */
  topicAliasMaximum: number;
  requestResponseInformation: boolean;
  requestProblemInformation: boolean;
  authenticationMethod: string | null;
  authenticationData: Buffer | null;
}

export interface PublishPacket {
  type: 'publish';
  qos: QoS;
  retain: boolean;
  dup: boolean;
  /** 0 for QoS 0 */
  packetId: number;
  /** the topic's UTF-8 bytes as a latin1 string (bijective and cheap); '' when only a topic alias was sent */
  topic: string;
  payload: Buffer;
  /** null for version < 5 and for an empty property block */
  properties: PublishProperties | null;
}

export interface AckPacket {
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';
  packetId: number;
  reasonCode: number;
}

export interface SubscribeRequest {
  /** UTF-8 text; a valid filter, see parseSharedFilter() */
  filter: string;
  qos: QoS;
  noLocal: boolean;
  retainAsPublished: boolean;
  retainHandling: 0 | 1 | 2;
}

export interface SubscribePacket {
  type: 'subscribe';
  packetId: number;
  /** 0 = absent */
  subscriptionIdentifier: number;
  subscriptions: SubscribeRequest[];
}

export interface UnsubscribePacket {
  type: 'unsubscribe';
  packetId: number;
  /** valid filters, as in SUBSCRIBE */
  filters: string[];
}

export interface DisconnectPacket {
  type: 'disconnect';
  reasonCode: number;
  /** seconds; null = absent */
  sessionExpiryInterval: number | null;
}

export interface AuthPacket {
  type: 'auth';
  reasonCode: number;
  authenticationMethod: string | null;
  authenticationData: Buffer | null;
}

/** Every packet that a client may send to a server. */
export type Packet =
  | ConnectPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | UnsubscribePacket
  | DisconnectPacket
  | AuthPacket
  | { type: 'pingreq' };
