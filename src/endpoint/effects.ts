/** The changes between two forms of an endpoint, and how each change takes effect (docs/endpoints.md). */

import { isDeepStrictEqual } from 'node:util';
import type { Effect, Endpoint, KeyChange, SslConfig } from './endpoint.ts';
import { isObject } from './problems.ts';
import { foreignKeysOf, isKnownKey } from './secrets/foreign.ts';
import { MASK, maskSecrets } from './secrets/secrets.ts';

/** The last column of the table in docs/endpoints.md. */
const EFFECTS: Record<keyof Endpoint, Effect> = {
  id: 'fixed',
  port: 'rebind',
  host: 'rebind',
  useWebsocket: 'rebind',
  path: 'admission',
  enableAuth: 'admission',
  authConfig: 'admission',
  enableAcl: 'live',
  aclConfig: 'live',
  messageMaxSize: 'admission',
  maxConnectionSize: 'live',
  maxConnectionPerSecond: 'live',
  maxConnectionPerAddress: 'live',
  maxConnectionPerAddressPerSecond: 'live',
  maxSessionSize: 'live',
  maxSendWindowSize: 'admission',
  maxReceiveWindowSize: 'admission',
  maxQueuedMessages: 'live',
  maxQueuedBytes: 'live',
  maxSubscriptions: 'live',
  maxTopicAlias: 'admission',
  maxRetainedMessages: 'live',
  maxRetainedBytes: 'live',
  maxKeepAlive: 'admission',
  idleTimeout: 'admission',
  handshakeTimeout: 'admission',
  sessionPersistence: 'admission',
  namespace: 'rebind',
  // `enabled` is a rebind
  sslConfig: 'handshake',
  serverOptions: 'rebind',
  childOptions: 'admission',
  exclusivePool: 'rebind',
  wiretap: 'live',
  enabled: 'rebind',
  isDefault: 'live',
};

/** Mildest first. */
const HARDNESS: Effect[] = ['none', 'live', 'admission', 'handshake', 'rebind', 'fixed'];

/** Every changed key, options one by one (`serverOptions.soBacklog`). Passwords are masked: a changed one shows as two masks. */
export function diffEndpoints(from: Endpoint, to: Endpoint): KeyChange[] {
  const changes: KeyChange[] = [];
  const [shownFrom, shownTo] = [maskSecrets(from), maskSecrets(to)];
  for (const [key, effect] of Object.entries(EFFECTS) as [keyof Endpoint, Effect][]) {
    if (from[key] === to[key] || isDeepStrictEqual(from[key], to[key])) continue;
    if (key === 'serverOptions' || key === 'childOptions') changes.push(...diffOptions(key, from, to, effect));
    else if (key === 'sslConfig') changes.push(...diffSslConfig(from, to));
    else changes.push({ path: key, from: shownFrom[key], to: shownTo[key], effect });
  }
  return [...changes, ...diffForeign(from, to)];
}

/** A key of a newer version changes nothing here, but is a change. Its value is not shown: it may be secret. */
function diffForeign(from: Endpoint, to: Endpoint): KeyChange[] {
  const paths = [...new Set([...foreignKeysOf(from), ...foreignKeysOf(to)])];
  return paths.flatMap((path): KeyChange[] => {
    const [before, after] = [valueAt(from, path), valueAt(to, path)];
    if (isDeepStrictEqual(before, after)) return [];
    return [{ path, from: before === undefined ? null : MASK, to: after === undefined ? null : MASK, effect: 'none' }];
  });
}

function valueAt(endpoint: Endpoint, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), endpoint);
}

function diffOptions(key: 'serverOptions' | 'childOptions', from: Endpoint, to: Endpoint, effect: Effect): KeyChange[] {
  const [before, after] = [from[key], to[key]] as unknown as [Record<string, unknown>, Record<string, unknown>];
  return Object.keys(after)
    .filter((name) => isKnownKey(key, name) && before[name] !== after[name])
    .map((name) => ({ path: `${key}.${name}`, from: before[name], to: after[name], effect }));
}

function diffSslConfig(from: Endpoint, to: Endpoint): KeyChange[] {
  const [before, after] = [maskSecrets(from).sslConfig, maskSecrets(to).sslConfig];
  const names = (Object.keys(after) as (keyof SslConfig)[]).filter(
    (name) => isKnownKey('sslConfig', name) && !isDeepStrictEqual(from.sslConfig[name], to.sslConfig[name]),
  );
  return names.map((name) => {
    const effect = name === 'enabled' ? 'rebind' : EFFECTS.sslConfig;
    return { path: `sslConfig.${name}`, from: before[name], to: after[name], effect };
  });
}

/** The hardest effect of a list of changes; `none` for an empty one. */
export function hardestEffect(changes: KeyChange[]): Effect {
  return HARDNESS[Math.max(0, ...changes.map((change) => HARDNESS.indexOf(change.effect)))] ?? 'none';
}
