/** Keys: where an endpoint listens. */

import { isIP } from 'node:net';
import { key, unset } from './key.ts';
import { boolean, choice, integer, text } from './value.ts';

/** The transports of WebSocket connections. */
export const WEBSOCKET_TRANSPORTS = ['auto', 'uws', 'builtin'] as const;
export type WebsocketTransport = (typeof WEBSOCKET_TRANSPORTS)[number];

/** Every `${NAME}` is one that names another node. */
const hasKnownNames = (value: string) => [...value.matchAll(/\$\{([^}]*)\}/g)].every(([, name]) => name === 'address' || name === 'node');

export const ADDRESS_KEYS = {
  id: key({
    value: text('1..64 of `A-Z a-z 0-9 _ . -`', {
      pattern: /^[A-Za-z0-9_.-]{1,64}$/,
      rule: 'must be 1..64 of letters, digits and _.-',
    }),
    default: (port) => `mqtt-${port}`,
    defaultText: '`mqtt-<port>`',
    effect: 'fixed',
    description: 'Stable, unique name',
  }),
  port: key({
    value: integer(1, 65535),
    default: (port) => port,
    defaultText: '',
    effect: 'rebind',
    description: 'Listening port, unique; moved by `newPort`',
  }),
  host: key({
    value: text('IP address', { test: (host) => isIP(host) !== 0, rule: 'must be an IP address' }),
    default: '0.0.0.0',
    effect: 'rebind',
    description: 'Address to listen on',
    example: '127.0.0.1',
  }),
  useWebsocket: key({ value: boolean, default: false, effect: 'rebind', description: 'MQTT over WebSocket' }),
  path: key({
    value: text('begins with `/`, at most 256 characters', {
      pattern: /^\/[^\s?#]{0,255}$/,
      rule: 'must begin with / and hold no white space, ? or #, at most 256 characters',
    }),
    default: '/mqtt',
    effect: 'admission',
    description: 'Path of the WebSocket',
  }),
  websocketTransport: unset({
    value: choice(...WEBSOCKET_TRANSPORTS),
    defaultText: 'that of the node',
    effect: 'admission',
    description: 'What carries WebSocket connections: uWebSockets.js, the built-in transport, or the better one for the endpoint',
    example: 'auto',
  }),
  serverReference: unset({
    value: text(
      '1..1000 characters',
      { min: 1, rule: 'must not be empty' },
      { max: 1000, rule: 'must be at most 1000 characters' },
      { test: (value) => !/\p{Cc}/u.test(value), rule: 'must not hold control characters' },
      { test: hasKnownNames, rule: 'must hold no variable but ${address} and ${node}' },
    ),
    defaultText: 'none',
    effect: 'live',
    description:
      'Sent to MQTT 5 clients as Server Reference when their node stops and the cluster has others; `${address}` (`cluster.localAddress`) and `${node}` are those of another node',
    example: '${address}:1883',
  }),
};
