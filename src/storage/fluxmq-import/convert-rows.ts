/** Rows of FluxMQ's table `EndpointConfig` → endpoints in our form, and which rows cannot be taken (SPEC.md section 11). Pure. */

import { defaultEndpoint } from '../../endpoint/defaults.ts';
import { isObject } from '../../endpoint/problems.ts';
import { parseEndpoint } from '../../endpoint/schema.ts';
import { FluxError } from '../../kernel/errors.ts';

/** A row as the database gives it, by the names of its columns in lower case. */
export type FluxmqRow = Record<string, unknown>;

export interface FluxmqEndpoints {
  /** endpoints as `add` takes them, by port; each of them is valid */
  configs: Record<string, unknown>[];
  /** rows that are not among them */
  leftOut: { id: string; port: number; reason: string }[];
  /** what is taken otherwise than it was */
  warnings: string[];
}

/** 0 and 1, or false and true; null stands for the default. */
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

/** 0 and null stand for the default. */
const NUMBERS: Record<string, string> = {
  f_message_max_size: 'messageMaxSize',
  f_max_session_size: 'maxSessionSize',
  f_max_connection_size: 'maxConnectionSize',
  f_max_send_window_size: 'maxSendWindowSize',
  f_max_receive_window_size: 'maxReceiveWindowSize',
  f_max_connection_per_second: 'maxConnectionPerSecond',
};

/** JSON texts; empty and null stand for the default. */
const OBJECTS: Record<string, string> = { f_ssl_config: 'sslConfig', f_server_options: 'serverOptions', f_child_options: 'childOptions' };

const ID = /^[A-Za-z0-9_.-]{1,64}$/;

interface Candidate {
  id: string;
  port: number;
  row: FluxmqRow;
  isEnabled: boolean;
}

/** Converts all rows. Of several rows with one port, one that is enabled is taken before one that is not, then the one updated last. */
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
  const ids = new Set(candidates.map((candidate) => candidate.id));
  let defaultId: string | null = null;
  for (const { id, port, row } of candidates) {
    const owner = owners.get(port);
    if (owner !== undefined) {
      result.leftOut.push({ id, port, reason: `port ${port} is that of ${owner}, too` });
      continue;
    }
    try {
      const warnings: string[] = [];
      const config = convertRow(id, port, row, ids, warnings);
      if (config['isDefault'] === true && defaultId !== null) {
        config['isDefault'] = false;
        warnings.push(`${defaultId} is the default endpoint already`);
      }
      warnings.push(...parseEndpoint(config).warnings);
      if (config['isDefault'] === true) defaultId = id;
      owners.set(port, id);
      result.configs.push(config);
      result.warnings.push(...warnings.map((warning) => `${id} (port ${port}): ${warning}`));
    } catch (error) {
      if (!(error instanceof FluxError)) throw error;
      const issues = error.issues.map(({ path, message }) => `${path}: ${message}`);
      result.leftOut.push({ id, port, reason: issues.length > 0 ? issues.join('; ') : error.message });
    }
  }
  return result;
}

function compare(a: Candidate, b: Candidate): number {
  if (a.port !== b.port) return a.port - b.port;
  if (a.isEnabled !== b.isEnabled) return a.isEnabled ? -1 : 1;
  const [older, newer] = [textOf(a.row['f_update_time']), textOf(b.row['f_update_time'])];
  if (older !== newer) return older < newer ? 1 : -1;
  return a.id < b.id ? -1 : 1;
}

/** @throws FluxError `invalid` for a text that is no JSON object */
function convertRow(id: string, port: number, row: FluxmqRow, ids: Set<string>, warnings: string[]): Record<string, unknown> {
  const config: Record<string, unknown> = { port };
  if (ID.test(id)) config['id'] = id;
  else {
    // the generated one may be another row's
    const generated = defaultEndpoint(port).id;
    config['id'] = ids.has(generated) ? `fluxmq-${port}` : generated;
    warnings.push(`this id is not possible here, it becomes ${config['id']}`);
  }
  for (const [column, key] of Object.entries(FLAGS)) {
    const value = flagOf(row[column]);
    if (value !== null) config[key] = value;
  }
  for (const [column, key] of Object.entries(NUMBERS)) {
    const value = numberOf(row[column]);
    if (value !== null && value !== 0) config[key] = value;
  }
  const path = textOf(row['f_path']);
  if (path !== '') config['path'] = path;
  for (const [column, key] of Object.entries(OBJECTS)) {
    const value = objectOf(row[column], column);
    if (value !== null && (key !== 'sslConfig' || value['enabled'] === true || value['enable'] === true)) config[key] = value;
  }
  if (flagOf(row['f_enable_bridge']) === true) warnings.push('f_enable_bridge has no effect here without a bridgeConfig');
  if ((numberOf(row['f_acl_refresh_period']) ?? 0) !== 0)
    warnings.push('f_acl_refresh_period has no effect here: rules apply at once when they change');
  return config;
}

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value);
}

function numberOf(value: unknown): number | null {
  return value === null || value === undefined || value === '' ? null : Number(value);
}

/** BIT columns come as bytes. */
function flagOf(value: unknown): boolean | null {
  if (value === null || value === undefined || value === '') return null;
  if (value instanceof Uint8Array) return value[0] === 1;
  return value === true || value === 't' || Number(value) === 1;
}

/** A JSON object without its nulls; null when there is none. */
function objectOf(value: unknown, column: string): Record<string, unknown> | null {
  const text = textOf(value).trim();
  if (text === '' || text === 'null') return null;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new FluxError('invalid', `${column} is not JSON: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  if (!isObject(parsed)) throw new FluxError('invalid', `${column} is not a JSON object`);
  return Object.fromEntries(Object.entries(parsed).filter(([, entry]) => entry !== null));
}
