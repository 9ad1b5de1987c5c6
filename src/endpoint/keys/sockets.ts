/** Keys: options of sockets and threads. */

import { key } from './key.ts';
import { boolean, integer, integerOr } from './value.ts';

export const SERVER_OPTION_KEYS = {
  soBacklog: key({
    value: integer(1, 65535),
    default: 511,
    effect: 'rebind',
    description: 'Connections that wait in the accept queue of the port',
  }),
  workerGroupSize: key({
    value: integerOr(1, 64, 'auto'),
    default: 1,
    effect: 'rebind',
    effectText: 'rebind, thread by thread',
    description: 'Threads on the port',
    proposals: ['auto', '1', '2', '4'],
  }),
};

export const CHILD_OPTION_KEYS = {
  tcpNodelay: key({ value: boolean, default: true, effect: 'admission', description: 'TCP_NODELAY of a connection' }),
  soKeepalive: key({ value: boolean, default: true, effect: 'admission', description: 'SO_KEEPALIVE of a connection' }),
  soLinger: key({
    value: integer(-1, 65535),
    default: -1,
    effect: 'admission',
    description: "SO_LINGER of a connection, seconds; -1 = the system's, 0 = reset on close",
  }),
};
