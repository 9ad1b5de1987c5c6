/** config.yaml + environment → Settings, strict, all problems at once (docs/configuration.md). */

import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BusSettings } from '../bus/settings.ts';
import { type Endpoint, isEveryAddress } from '../endpoint/endpoint.ts';
import { isObject, Problems } from '../endpoint/problems.ts';
import { parseAcl, parseAuthList, parseEndpoint } from '../endpoint/schema.ts';
import { FluxError, type Issue } from '../kernel/errors.ts';
import { textOf } from '../kernel/input/file-text.ts';
import { readDocument } from './document.ts';
import { overlayEnvironment } from './environment.ts';
import { translateFluxmq } from './fluxmq21.ts';
import { toPath, toSegments } from './paths.ts';
import { readSections } from './schema.ts';
import { readSecretKeys } from './secret-keys.ts';
import type { Settings } from './settings.ts';
import { SettingsError } from './settings-error.ts';

const DEFAULT_FILE = 'config.yaml';
const FILE_BYTES_MAX = 8 * 1024 * 1024;

/** The endpoint of an empty configuration: loopback only, because clients need no login. */
const BUILT_IN_ENDPOINT = { port: 1883, host: '127.0.0.1', enableAuth: false, isDefault: true };

export interface LoadOptions {
  /** as the user named it, relative to `cwd`; null: `config.yaml` in `cwd` if it exists, else the built-in defaults */
  file: string | null;
  env: NodeJS.ProcessEnv;
  cwd: string;
}

export interface LoadedSettings {
  settings: Settings;
  warnings: string[];
  /** the file that was read, absolute; null: built-in defaults */
  file: string | null;
}

/**
 * Reads and judges the whole configuration. Paths in the result (`dataPath`, `log.file`) are absolute, taken from `cwd`.
 * @throws SettingsError with every problem, its path and its line
 */
export function loadSettings(options: LoadOptions): LoadedSettings {
  const { name, text } = readFile(options);
  const document = readDocument(text, options.env);
  if (!isObject(document.value)) throw new SettingsError(name, [{ path: '', message: 'must be a group of keys', line: 1 }]);
  const overlay = overlayEnvironment(document.value, options.env);
  const translated = translateFluxmq(overlay.value);
  const warnings = [...overlay.notes, ...translated.warnings];
  const problems = new Problems();
  const settings = readSettings(translated.value, translated.endpointsKey, options.cwd, problems, warnings);
  noteTildes(settings, problems);

  const isNew = (issue: Issue) => !document.issues.some((known) => known.path === issue.path);
  const found = [...translated.issues, ...problems.issues].map((issue) => locate(issue, overlay.origins, document.lineOf)).filter(isNew);
  const issues = [...document.issues, ...overlay.issues, ...found];
  if (issues.length > 0) throw new SettingsError(name, issues);
  settings.store.local.dataPath = resolve(options.cwd, settings.store.local.dataPath);
  if (settings.cluster.bus !== null) resolveFiles(settings.cluster.bus, options.cwd);
  settings.log.file = resolve(options.cwd, settings.log.file);
  return { settings, warnings, file: name === null ? null : resolve(options.cwd, name) };
}

/** Only a shell expands `~`: without this check a folder called `~` would be made. */
function noteTildes({ store, log, http, cluster }: Settings, problems: Problems): void {
  const { credentials } = cluster.bus ?? {};
  const paths: Record<string, string | null | undefined> = {
    'store.local.dataPath': store.local.dataPath,
    'log.file': log.file,
    'http.ssl.crt': http.ssl?.crt,
    'http.ssl.key': http.ssl?.key,
    'http.ssl.ca': http.ssl?.ca,
    'cluster.credentials.credsFile': credentials?.credsFile,
    'cluster.credentials.tls.ca': credentials?.tls?.ca,
    'cluster.credentials.tls.crt': credentials?.tls?.crt,
    'cluster.credentials.tls.key': credentials?.tls?.key,
  };
  for (const [path, value] of Object.entries(paths)) {
    if (value?.startsWith('~')) problems.add(path, `begins with ~, which is not replaced here: write \${HOME}${value.slice(1)}`);
  }
}

function resolveFiles({ credentials }: BusSettings, cwd: string): void {
  const at = (path: string | null) => (path === null ? null : resolve(cwd, path));
  credentials.credsFile = at(credentials.credsFile);
  const { tls } = credentials;
  if (tls !== null) credentials.tls = { ca: at(tls.ca), crt: at(tls.crt), key: at(tls.key) };
}

/** A file that the user named must exist; the default file need not. */
function readFile(options: LoadOptions): { name: string | null; text: string } {
  const name = options.file ?? DEFAULT_FILE;
  const path = resolve(options.cwd, name);
  try {
    if (statSync(path).size > FILE_BYTES_MAX)
      throw new SettingsError(name, [{ path: '', message: `is larger than ${FILE_BYTES_MAX} bytes` }]);
    const { text, problem } = textOf(readFileSync(path), false);
    if (problem !== null) throw new SettingsError(name, [{ path: '', message: problem }]);
    return { name, text };
  } catch (error) {
    if (error instanceof SettingsError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && options.file === null) return { name: null, text: '' };
    const words: Record<string, string> = { ENOENT: 'there is no such file', EISDIR: 'is a folder' };
    throw new SettingsError(name, [{ path: '', message: words[code ?? ''] ?? `cannot be read: ${message}` }]);
  }
}

function readSettings(input: Record<string, unknown>, endpointsKey: string, cwd: string, problems: Problems, warnings: string[]): Settings {
  const { keys, rest } = takeSecretKeys(input);
  const sections = readSections(rest, problems, warnings);
  const endpoints = readEndpoints(input['endpoints'], endpointsKey, problems, warnings);
  noteAdminPort(sections.http, endpoints, endpointsKey, problems);
  return {
    ...sections,
    secrets: readSecretKeys(keys, cwd, problems),
    auth: collect('auth', problems, () => parseAuthList(input['auth'] ?? [])) ?? [],
    acl: collect('acl', problems, () => parseAcl(input['acl'], warnings)) ?? parseAcl({}),
    endpoints,
    areEndpointsGiven: Array.isArray(input['endpoints']),
  };
}

/** The keys of `store` about sealing, and the configuration without them. */
function takeSecretKeys(input: Record<string, unknown>): { keys: Record<string, unknown>; rest: Record<string, unknown> } {
  const store = input['store'];
  if (!isObject(store)) return { keys: {}, rest: input };
  const isKey = (name: string) => ['secretKey', 'secretKeyFile', 'secretKeysOld'].includes(name);
  const [keys, others] = [true, false].map((wanted) => {
    return Object.fromEntries(Object.entries(store).filter(([name, value]) => isKey(name) === wanted && !(wanted && value === null)));
  }) as [Record<string, unknown>, Record<string, unknown>];
  return { keys, rest: { ...input, store: others } };
}

/** Runs a parser of src/endpoint; its problems are added under `path`. */
function collect<T>(path: string, problems: Problems, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    const issues: Issue[] = error.issues.length > 0 ? error.issues : [{ path: '', message: error.message }];
    for (const issue of issues) {
      const inner = toSegments(issue.path);
      // the parsers of whole sections name the section themselves
      problems.add(toPath(inner[0] === path ? inner : [...toSegments(path), ...inner]), issue.message);
    }
    return undefined;
  }
}

/** Ids and addresses that no two endpoints may share. */
interface Names {
  port?: number;
  id?: string;
  isDefault: boolean;
}

/** The endpoint would take the port first, and the node could not start. */
function noteAdminPort(http: { host: string; port: number }, endpoints: readonly Endpoint[], key: string, problems: Problems): void {
  for (const [index, { enabled, host, port }] of endpoints.entries()) {
    const isShared = host === http.host || isEveryAddress(host) || isEveryAddress(http.host);
    if (enabled && port === http.port && isShared)
      problems.add(`${key}[${index}].port`, `is the port of the admin API (http.port ${port})`);
  }
}

function readEndpoints(input: unknown, key: string, problems: Problems, warnings: string[]): Endpoint[] {
  const list = input ?? [BUILT_IN_ENDPOINT];
  if (!Array.isArray(list)) {
    problems.add(key, 'must be a list');
    return [];
  }
  const read: { path: string; names: Names }[] = [];
  const endpoints: Endpoint[] = [];
  for (const [index, entry] of list.entries()) {
    const path = `${key}[${index}]`;
    const parsed = collect(path, problems, () => parseEndpoint(entry));
    const names = parsed?.endpoint ?? namesOf(entry);
    noteTwins(names, path, read, problems);
    read.push({ path, names });
    if (parsed === undefined) continue;
    warnings.push(...parsed.warnings.map((warning) => `${path}: ${warning}`));
    endpoints.push(parsed.endpoint);
  }
  return endpoints;
}

/** The unique keys of an entry with other problems, so that all problems are reported at once. */
function namesOf(entry: unknown): Names {
  const { port, id, isDefault } = isObject(entry) ? entry : {};
  return { ...(typeof port === 'number' ? { port } : {}), ...(typeof id === 'string' ? { id } : {}), isDefault: isDefault === true };
}

/** Ports and ids are unique, and at most one endpoint is the default (docs/endpoints.md). An id that equals another one only because the ports are equal is not reported. */
function noteTwins(names: Names, path: string, earlier: { path: string; names: Names }[], problems: Problems): void {
  for (const other of earlier) {
    const isSamePort = names.port !== undefined && other.names.port === names.port;
    if (isSamePort) problems.add(`${path}.port`, `${names.port} is the port of ${other.path}, too`);
    else if (names.id !== undefined && other.names.id === names.id)
      problems.add(`${path}.id`, `${names.id} is the id of ${other.path}, too`);
    if (other.names.isDefault && names.isDefault) problems.add(`${path}.isDefault`, `${other.path} is the default already`);
  }
}

/** Adds the line of the file, or the variable, that the value came from. */
function locate(issue: Issue, origins: Map<string, string>, lineOf: (path: string) => number | undefined): Issue {
  const segments = toSegments(issue.path);
  const path = toPath(segments);
  for (let length = segments.length; length > 0; length--) {
    const variable = origins.get(toPath(segments.slice(0, length)));
    if (variable !== undefined) return { path, message: `${issue.message} (set by ${variable})` };
  }
  const line = lineOf(path);
  return line === undefined ? { path, message: issue.message } : { path, message: issue.message, line };
}
