/** Keys: what clients may use of a node. */

import { key, unset } from './key.ts';
import { integer } from './value.ts';

/** The longest Keep Alive that a client can ask for, seconds. */
export const KEEP_ALIVE_MAX = 65_535;

const CLIENTS_MAX = 10_000_000;
const CLIENTS_PER_SECOND_MAX = 1_000_000;
const BYTES_MAX = 1_099_511_627_776;
/** one hour, milliseconds */
const TIMEOUT_MAX = 3_600_000;

export const LIMIT_KEYS = {
  messageMaxSize: key({
    value: integer(1024, 268_435_455),
    default: 4_194_304,
    effect: 'admission',
    description: 'Largest packet from a client, bytes',
  }),
  maxConnectionSize: key({ value: integer(1, CLIENTS_MAX), default: 1000, effect: 'live', description: 'Clients at once, per node' }),
  maxConnectionPerSecond: key({
    value: integer(1, CLIENTS_PER_SECOND_MAX),
    default: 100,
    effect: 'live',
    description: 'New connections a second, per node',
  }),
  maxConnectionPerAddress: unset({
    value: integer(1, CLIENTS_MAX),
    defaultText: 'a tenth of `maxConnectionSize`, at least 10',
    effect: 'live',
    description: 'Clients at once from one address; an IPv6 /64 is one address, loopback is exempt',
    example: 100,
  }),
  maxConnectionPerAddressPerSecond: unset({
    value: integer(1, CLIENTS_PER_SECOND_MAX),
    defaultText: 'a tenth of `maxConnectionPerSecond`, at least 10',
    effect: 'live',
    description: 'New connections a second from one address; an IPv6 /64 is one address, loopback is exempt',
    example: 10,
  }),
  maxSessionSize: key({
    value: integer(1, CLIENTS_MAX),
    default: 1000,
    defaultText: '`maxConnectionSize`, at least 100',
    effect: 'live',
    description: 'Persistent sessions, per node',
  }),
  maxSendWindowSize: key({
    value: integer(1, 65535),
    default: 100,
    effect: 'admission',
    description: 'QoS 1 and 2 messages in flight to one client',
  }),
  maxReceiveWindowSize: key({
    value: integer(1, 65535),
    default: 100,
    effect: 'admission',
    description: 'QoS 1 and 2 messages in flight from one client, sent to MQTT 5 clients as Receive Maximum',
  }),
  maxQueuedMessages: key({
    value: integer(1, 1_000_000),
    default: 1000,
    effect: 'live',
    description: 'Messages that wait for one session',
  }),
  maxQueuedBytes: key({
    value: integer(1024, BYTES_MAX),
    default: 16_777_216,
    effect: 'live',
    description: 'Bytes that wait for one session, and bytes in flight to it',
  }),
  maxSubscriptions: key({ value: integer(1, 1_000_000), default: 100_000, effect: 'live', description: 'Subscriptions of one client' }),
  maxTopicAlias: key({
    value: integer(0, 65535),
    default: 256,
    effect: 'admission',
    description: 'Topic Alias Maximum sent to MQTT 5 clients, and most KiB of all aliased topics of a client',
  }),
  maxRetainedMessages: key({
    value: integer(1, 10_000_000),
    default: 1_000_000,
    effect: 'live',
    description: 'Retained messages of its clients, per node',
  }),
  maxRetainedBytes: key({
    value: integer(1024, BYTES_MAX),
    default: 268_435_456,
    effect: 'live',
    description: 'Bytes of the retained messages of its clients, per node: topic, payload, properties and 200 for each message',
  }),
  maxKeepAlive: key({
    value: integer(1, KEEP_ALIVE_MAX),
    default: KEEP_ALIVE_MAX,
    effect: 'admission',
    description: `Longest Keep Alive, seconds: MQTT 5 clients that ask for more, or for none, get this value as Server Keep Alive; ${KEEP_ALIVE_MAX} = no limit`,
  }),
  idleTimeout: key({
    value: integer(100, TIMEOUT_MAX),
    default: 10_000,
    effect: 'admission',
    description: 'Milliseconds from the connection to its CONNECT, whatever bytes arrive; accurate to half a second',
  }),
  handshakeTimeout: key({
    value: integer(100, TIMEOUT_MAX),
    default: 10_000,
    effect: 'admission',
    description: 'Milliseconds from the connection to the end of its TLS handshake and HTTP upgrade; accurate to half a second',
  }),
};
