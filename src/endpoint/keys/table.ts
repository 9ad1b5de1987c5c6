/**
 * The table of all keys of an endpoint. Parsing, defaults, effects, secrets, the OpenAPI description, the command line, config.example.yaml
 * and docs/endpoints.md follow from it.
 */

import { ACCESS_KEYS, KIND_KEYS } from './access.ts';
import { ADDRESS_KEYS } from './address.ts';
import { type EntryTable, isGroup, type Key, key } from './key.ts';
import { LIMIT_KEYS } from './limits.ts';
import { CHILD_OPTION_KEYS, SERVER_OPTION_KEYS } from './sockets.ts';
import { TLS_KEYS } from './tls.ts';
import { boolean, structure, text } from './value.ts';

const hasControlCharacter = (value: string) => /\p{Cc}/u.test(value);

/** In the order of answers, differences and documents. */
export const ENDPOINT_KEYS = {
  ...ADDRESS_KEYS,
  ...ACCESS_KEYS,
  ...LIMIT_KEYS,
  sessionPersistence: key({ value: boolean, default: false, effect: 'admission', description: 'Sessions survive a restart of the node' }),
  namespace: key({
    value: text(
      '1..128 characters',
      { min: 1, rule: 'must not be empty' },
      { max: 128, rule: 'must be at most 128 characters' },
      { test: (value) => !hasControlCharacter(value), rule: 'must not hold control characters' },
    ),
    default: 'default',
    effect: 'rebind',
    description: 'Topics, clients, sessions and retained messages are separate from those of other namespaces',
  }),
  sslConfig: {
    keys: TLS_KEYS,
    effect: 'handshake',
    effectText: 'handshake; rebind when TLS is switched on or off',
    description: 'TLS, such as `{ cert: server.pem, key: server.key, ca: ca.pem, clientAuth: required }`; paths or PEM text',
    page: 'tls.md',
    example: {},
  },
  serverOptions: { keys: SERVER_OPTION_KEYS, effect: 'rebind', description: 'Options of the listening socket and its threads' },
  childOptions: { keys: CHILD_OPTION_KEYS, effect: 'admission', description: 'Socket options of a connection' },
  exclusivePool: key({
    value: boolean,
    default: true,
    effect: 'rebind',
    description: 'The endpoint has its own threads; false: it shares a thread with other such endpoints',
  }),
  wiretap: key({ value: boolean, default: false, effect: 'live', description: 'Every packet goes to the log' }),
  enabled: key({ value: boolean, default: true, effect: 'rebind', description: 'False: the endpoint is kept, and does not listen' }),
  isDefault: key({
    value: boolean,
    default: false,
    effect: 'live',
    description: 'At most one endpoint; removed or disabled with `force: true` only',
    example: true,
  }),
} satisfies EntryTable;

/** Keys that requests and answers have besides, with what they stand beside. The complete form of an endpoint has none of them. */
export const WRITTEN_KEYS = KIND_KEYS;

/** Keys of later versions: "off" is the only value that this version accepts. */
export const LATER_KEYS = {
  enableBridge: boolean,
  bridgeConfig: structure<Record<string, never>>('empty'),
  proxy: boolean,
};

/** Every key and group by its name in requests and answers. */
export const WRITTEN_FORM: EntryTable = { ...ENDPOINT_KEYS, ...WRITTEN_KEYS };

/** A key with its dotted path. */
export interface PathKey {
  readonly path: string;
  readonly entry: Key<unknown>;
}

/** Every key, options one by one: `serverOptions.soBacklog`. */
export function allKeys(): PathKey[] {
  return Object.entries(WRITTEN_FORM).flatMap(([name, entry]): PathKey[] =>
    isGroup(entry)
      ? Object.entries(entry.keys).map(([option, entryOf]) => ({ path: `${name}.${option}`, entry: entryOf }))
      : [{ path: name, entry }],
  );
}
