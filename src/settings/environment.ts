/** Settings by environment: `FLUXMQ_HTTP_PORT=8080` is `http.port`; lists as JSON or by index (`FLUXMQ_ENDPOINTS_0_PORT`). */

import { type EntryTable, isGroup } from '../endpoint/keys/key.ts';
import { ENDPOINT_KEYS, LATER_KEYS, WRITTEN_KEYS } from '../endpoint/keys/table.ts';
import type { Issue } from '../kernel/errors.ts';
import { isTextKey, toPath, toTyped } from './paths.ts';

const PREFIX = 'FLUXMQ_';
/** Variables of the command line: a broker may start from the same shell. */
const COMMAND_LINE = new Set([
  'FLUXMQ_API',
  'FLUXMQ_API_USER',
  'FLUXMQ_API_PASSWORD',
  'FLUXMQ_API_TOKEN',
  'FLUXMQ_API_CACERT',
  'FLUXMQ_DATABASE_PASSWORD',
]);

/** The names of the keys: a leaf takes any value, `[tree]` is a list of trees. The schema judges the values later. */
type KeyTree = 'leaf' | [KeyTree] | { readonly [key: string]: KeyTree };

function leaves(...names: string[]): { [key: string]: KeyTree } {
  return Object.fromEntries(names.map((name) => [name, 'leaf' as const]));
}

const AUTH: KeyTree = [
  {
    ...leaves('authType', 'type', 'filter', 'timeout', 'maxRequests', 'onUnavailable', 'cacheSeconds'),
    ...leaves('url', 'method', 'headers', 'body', 'answer', 'ca'),
    ...leaves('from', 'secret', 'secretEncoding', 'publicKey', 'jwksUrl', 'jwksRefresh', 'algorithms', 'issuer', 'audience'),
    ...leaves('claims', 'usernameClaim', 'clockTolerance', 'disconnectAfterExpire', 'path'),
    ...leaves('use', 'asClientId', 'useCommonNameAsUsername', 'useSubjectAsUsername'),
    ...leaves('encrypt', 'saltMode', 'command', 'authSql'),
    datasource: leaves('url', 'username', 'password', 'connections'),
    redis: leaves('mode', 'host', 'port', 'servers', 'master', 'username', 'password', 'sentinelPassword', 'database', 'tls', 'ca'),
    users: [leaves('username', 'password', 'encrypt', 'salt', 'saltMode')],
    ...leaves('authConfig'),
  },
];
const ACL: KeyTree = {
  ...leaves('order', 'default'),
  rules: [{ ...leaves('permission', 'action', 'topic'), subject: leaves('type', 'value') }],
};

function endpointKeys(): KeyTree {
  const table: EntryTable = ENDPOINT_KEYS;
  const trees = Object.entries(table).map(([key, entry]): [string, KeyTree] => {
    if (key === 'authConfig') return [key, AUTH];
    if (key === 'aclConfig') return [key, ACL];
    return [key, isGroup(entry) ? leaves(...Object.keys(entry.keys)) : 'leaf'];
  });
  return { ...Object.fromEntries(trees), ...leaves(...Object.keys(WRITTEN_KEYS), ...Object.keys(LATER_KEYS)) };
}

const KEYS: KeyTree = {
  node: leaves('name', 'bindAddress', 'memoryBudget', 'websocketTransport'),
  http: {
    ...leaves('host', 'port', 'username', 'password', 'accessLog', 'trustedProxies', 'basePath'),
    ssl: leaves('crt', 'cert', 'key', 'ca'),
    viewers: [leaves('username', 'password')],
  },
  store: {
    ...leaves('storeType', 'secretKey', 'secretKeyFile'),
    secretKeysOld: ['leaf'],
    datasource: leaves('url', 'username', 'password', 'driver', 'schema', 'maxPoolSize'),
    local: leaves('dataPath'),
  },
  cluster: {
    ...leaves('name', 'localAddress', 'addresses', 'messages', 'hold', 'sharedSubscriptions', 'willGrace'),
    kubernetes: leaves('service', 'namespace', 'port', 'dnsServers'),
    credentials: { ...leaves('user', 'password', 'token', 'credsFile'), tls: leaves('ca', 'crt', 'key') },
    sync: leaves('enabled', 'interval', 'timeout', 'retryCount'),
  },
  auth: AUTH,
  acl: ACL,
  endpoints: [endpointKeys()],
  mqtt: [endpointKeys()],
  history: leaves('keep', 'keepDays'),
  flapping: leaves('connects', 'seconds', 'banSeconds'),
  audit: leaves('keepDays'),
  log: leaves('level', 'file', 'maxSize', 'maxFiles'),
  shutdownTimeout: 'leaf',
};

/**
 * Variables that Kubernetes (service links) and Docker (container links) put into every container beside a service called fluxmq or
 * fluxmq-something. A service fluxmq-http has FLUXMQ_HTTP_PORT=tcp://10.96.7.8:18083, which is the name of a setting.
 */
function isInjected(name: string, value: string): boolean {
  if (/^FLUXMQ(_[A-Z0-9_]*)?_(SERVICE_(HOST|PORT)(_|$)|PORT_\d+_(TCP|UDP|SCTP)(_|$))/.test(name)) return true;
  if (/^FLUXMQ(_[A-Z0-9_]*)?_ENV_/.test(name)) return true;
  if (name.endsWith('_NAME')) return /^\/[^/]+\/[^/]+$/.test(value);
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//i.test(value);
}

/** FLUXMQ_NODE=24 chooses the Node for the broker; as JSON it is the setting `node`. */
function isForLauncher(name: string, value: string | undefined): boolean {
  return name === 'FLUXMQ_NODE' && /^\d+$/.test(value ?? '');
}

/** Variables that a note names. */
const NAMES_MAX = 4;

function noteOf(names: string[]): string {
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return `environment: ${names.slice(0, NAMES_MAX).join(', ')}${more}: set by Kubernetes or Docker for a service of that name, ignored`;
}

export interface Overlay {
  value: Record<string, unknown>;
  issues: Issue[];
  /** notes about ignored variables */
  notes: string[];
  /** path → the variable that set it */
  origins: Map<string, string>;
}

/** Puts every FLUXMQ_ variable over `base` (which is not changed). A name that is no key is an issue. */
export function overlayEnvironment(base: Record<string, unknown>, env: NodeJS.ProcessEnv): Overlay {
  const overlay: Overlay = { value: structuredClone(base), issues: [], notes: [], origins: new Map() };
  const injected: string[] = [];
  const names = Object.keys(env).filter((name) => name.startsWith(PREFIX) && !COMMAND_LINE.has(name) && !isForLauncher(name, env[name]));
  // shortest list index first: entry 2 is made before entry 10
  names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  for (const name of names) {
    const text = env[name] ?? '';
    if (isInjected(name, text)) {
      injected.push(name);
      continue;
    }
    const segments = toKeys(name.slice(PREFIX.length).split('_'));
    if (segments === null) {
      overlay.issues.push({ path: name, message: 'is not a setting: no key has this name' });
      continue;
    }
    const value = readValue(text, segments);
    const problem = value instanceof SyntaxError ? `is not JSON: ${value.message}` : put(overlay.value, segments, value);
    if (problem !== null) overlay.issues.push({ path: name, message: problem });
    else overlay.origins.set(toPath(segments), name);
  }
  if (injected.length > 0) overlay.notes.push(noteOf(injected));
  return overlay;
}

/** `['HTTP', 'PORT']` → `['http', 'port']`; null when there is no such key. */
function toKeys(words: string[]): string[] | null {
  let tree: KeyTree | undefined = KEYS;
  const keys: string[] = [];
  for (const word of words) {
    if (tree === undefined || tree === 'leaf') return null;
    if (Array.isArray(tree)) {
      if (!/^\d{1,4}$/.test(word)) return null;
      keys.push(String(Number(word)));
      tree = tree[0];
      continue;
    }
    const key: string | undefined = Object.keys(tree).find((name) => name.toUpperCase() === word);
    if (key === undefined) return null;
    keys.push(key);
    tree = (tree as { readonly [key: string]: KeyTree })[key];
  }
  return keys;
}

function readValue(text: string, segments: string[]): unknown {
  if (isTextKey(segments)) return text;
  if (!/^\s*[[{]/.test(text)) return toTyped(text);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    return error instanceof SyntaxError ? error : new SyntaxError(String(error));
  }
}

/** Sets one value and makes the objects and list entries on the way. Returns the reason of a failure, or null. */
function put(root: Record<string, unknown>, segments: string[], value: unknown): string | null {
  let place: unknown = root;
  for (const [index, key] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (Array.isArray(place)) {
      if (Number(key) > place.length) return `the list ends before: it has ${place.length} entries`;
    } else if (typeof place !== 'object' || place === null) return `${toPath(segments.slice(0, index))} is not a group of keys`;
    const holder = place as Record<string, unknown>;
    if (isLast) holder[key] = value;
    else {
      holder[key] ??= /^\d+$/.test(segments[index + 1] ?? '') ? [] : {};
      place = holder[key];
    }
  }
  return null;
}
