/** Converts rows of FluxMQ's table `EndpointConfig` to endpoints, and lists the rows that cannot be taken (docs/migration.md). Pure. */

import { defaultEndpoint } from '../../endpoint/defaults.ts';
import { isObject } from '../../endpoint/problems.ts';
import { parseEndpoint } from '../../endpoint/schema.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';

/** A row of the database, by column names in lower case. */
export type FluxmqRow = Record<string, unknown>;

export interface FluxmqEndpoints {
  /** endpoints in the form that `add` takes, by port; each is valid */
  configs: Record<string, unknown>[];
  /** rows that cannot be taken */
  leftOut: { id: string; port: number; reason: string }[];
  /** differences between a row and its endpoint, and keys without effect */
  warnings: string[];
}

/** Columns with 0 and 1, or false and true; null means the default. */
const FLAGS: Record<string, string> = {
  f_wiretap: 'wiretap',
  f_proxy: 'proxy',
  f_enable_auth: 'enableAuth',
  f_enable_acl: 'enableAcl',
  f_use_websocket: 'useWebsocket',
  f_exclusive_pool: 'exclusivePool',
  f_session_persistence: 'sessionPersistence',
  f_enabled: 'enabled',
  f_is_default: 'isDefault',
};

/** Columns with numbers; 0 and null mean the default. */
const NUMBERS: Record<string, string> = {
  f_message_max_size: 'messageMaxSize',
  f_max_session_size: 'maxSessionSize',
  f_max_connection_size: 'maxConnectionSize',
  f_max_send_window_size: 'maxSendWindowSize',
  f_max_receive_window_size: 'maxReceiveWindowSize',
  f_max_connection_per_second: 'maxConnectionPerSecond',
};

/** Columns with JSON texts; empty and null mean the default. */
const OBJECTS: Record<string, string> = { f_ssl_config: 'sslConfig', f_server_options: 'serverOptions', f_child_options: 'childOptions' };

const YES = ['1', 'true', 't'];
const NO = ['0', 'false', 'f'];

const ID = /^[A-Za-z0-9_.-]{1,64}$/;

interface Candidate {
  id: string;
  port: number;
  row: FluxmqRow;
  isEnabled: boolean;
}

/** Converts all rows. When several rows have one port, an enabled row wins over a disabled one, then the row that was updated last. */
export function convertFluxmqRows(rows: readonly FluxmqRow[]): FluxmqEndpoints {
  const result: FluxmqEndpoints = { configs: [], leftOut: [], warnings: [] };
  const candidates = rows.map((row) => ({
    id: textOf(row['id']),
    port: numberOf(row['f_port']) ?? 0,
    row,
    isEnabled: flagOf(row['f_enabled']) !== false,
  }));
  candidates.sort(compare);
  const owners = new Map<number, string>();
  const ids = new Ids(candidates.map((candidate) => candidate.id));
  let defaultId: string | null = null;
  for (const { id, port, row } of candidates) {
    const owner = owners.get(port);
    if (owner !== undefined) {
      result.leftOut.push({ id, port, reason: `port ${port} is taken by ${owner}` });
      continue;
    }
    const problems: string[] = [];
    const config = convertRow(port, row, problems);
    const isSecond = config['isDefault'] === true && defaultId !== null;
    const warnings = [
      ...withoutEffect(row),
      ...(isSecond ? [`${defaultId} is the default endpoint already`] : []),
      ...check(config, problems),
    ];
    if (problems.length > 0) {
      result.leftOut.push({ id, port, reason: problems.join('; ') });
      continue;
    }
    const own = ids.take(id, port);
    if (own.why !== null) warnings.unshift(`this id is ${own.why}; the endpoint becomes ${own.id}`);
    if (isSecond) config['isDefault'] = false;
    else if (config['isDefault'] === true) defaultId = own.id;
    owners.set(port, own.id);
    result.configs.push({ id: own.id, ...config });
    result.warnings.push(...warnings.map((warning) => `${id} (port ${port}): ${warning}`));
  }
  return result;
}

/** Chooses a valid, unique id for each row. */
class Ids {
  readonly #given: ReadonlySet<string>;
  readonly #taken = new Set<string>();

  /** @param given the ids of all rows: a generated id must not equal any of them */
  constructor(given: string[]) {
    this.#given = new Set(given);
  }

  /** The row's own id, or a generated one and the reason. */
  take(id: string, port: number): { id: string; why: string | null } {
    const why = !ID.test(id) ? 'not valid here' : this.#taken.has(id) ? 'also the id of another row' : null;
    const own = why === null ? id : this.#generate(port);
    this.#taken.add(own);
    return { id: own, why };
  }

  #generate(port: number): string {
    const isFree = (id: string) => !this.#given.has(id) && !this.#taken.has(id);
    for (let n = 0; ; n++) {
      const id = n === 0 ? defaultEndpoint(port).id : n === 1 ? `fluxmq-${port}` : `fluxmq-${port}-${n}`;
      if (isFree(id)) return id;
    }
  }
}

function compare(a: Candidate, b: Candidate): number {
  if (a.port !== b.port) return a.port - b.port;
  if (a.isEnabled !== b.isEnabled) return a.isEnabled ? -1 : 1;
  const [older, newer] = [textOf(a.row['f_update_time']), textOf(b.row['f_update_time'])];
  if (older !== newer) return older < newer ? 1 : -1;
  return a.id < b.id ? -1 : 1;
}

/** Converts a row without its id. @param problems receives what FluxMQ would not write */
function convertRow(port: number, row: FluxmqRow, problems: string[]): Record<string, unknown> {
  const config: Record<string, unknown> = { port };
  for (const [column, key] of Object.entries(FLAGS)) {
    const value = flagOf(row[column]);
    if (value === undefined) problems.push(`${column}: must be 0 or 1, not ${textOf(row[column]).slice(0, 40)}`);
    else if (value !== null) config[key] = value;
  }
  for (const [column, key] of Object.entries(NUMBERS)) {
    const value = numberOf(row[column]);
    if (value !== null && value !== 0) config[key] = value;
  }
  const path = textOf(row['f_path']);
  if (path !== '') config['path'] = path;
  for (const [column, key] of Object.entries(OBJECTS)) {
    const value = objectOf(row[column], column, problems);
    if (value !== null && (key !== 'sslConfig' || value['enabled'] === true || value['enable'] === true)) config[key] = value;
  }
  return config;
}

/** The warnings of a valid endpoint. @param problems receives the reasons why the endpoint is not valid */
function check(config: Record<string, unknown>, problems: string[]): string[] {
  try {
    return parseEndpoint(config).warnings;
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    const issues = error.issues.map(({ path, message }) => `${path}: ${message}`);
    problems.push(...(issues.length > 0 ? issues : [error.message]));
    return [];
  }
}

/** Warnings about columns that have no effect here. */
function withoutEffect(row: FluxmqRow): string[] {
  const warnings: string[] = [];
  if (flagOf(row['f_enable_bridge']) === true) warnings.push('f_enable_bridge has no effect here without a bridgeConfig');
  if ((numberOf(row['f_acl_refresh_period']) ?? 0) !== 0)
    warnings.push('f_acl_refresh_period has no effect here: rules apply at once when they change');
  return warnings;
}

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value);
}

function numberOf(value: unknown): number | null {
  return value === null || value === undefined || value === '' ? null : Number(value);
}

/** Null for a missing value, undefined for a value that is neither yes nor no. BIT columns arrive as bytes. */
function flagOf(value: unknown): boolean | null | undefined {
  if (value === null || value === undefined || value === '') return null;
  const text = value instanceof Uint8Array ? String(value[0]) : String(value).toLowerCase();
  return YES.includes(text) ? true : NO.includes(text) ? false : undefined;
}

/** A JSON object without its nulls; null when there is none. @param problems receives the reason why a text is no JSON object */
function objectOf(value: unknown, column: string, problems: string[]): Record<string, unknown> | null {
  const text = textOf(value).trim();
  if (text === '' || text === 'null') return null;
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return Object.fromEntries(Object.entries(parsed).filter(([, entry]) => entry !== null));
    problems.push(`${column} is not a JSON object`);
  } catch (error) {
    problems.push(`${column} is not JSON: ${messageOf(error)}`);
  }
  return null;
}
