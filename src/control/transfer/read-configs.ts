/** Turns the endpoints of a file into changes, and reports every problem of every endpoint at once. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { mergeEndpoint, type ParsedEndpoint, parseEndpoint } from '../../endpoint/schema.ts';
import { MASK, mapSecrets } from '../../endpoint/secrets/secrets.ts';
import { unmask } from '../../endpoint/secrets/unmask.ts';
import { FluxError } from '../../kernel/errors.ts';
import { ENDPOINTS_MAX } from '../../kernel/input/file-form.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import type { ImportMode } from '../changes/change-body.ts';
import type { EndpointChange } from '../changes/change-set.ts';

export interface ConfigsRead {
  changes: EndpointChange[];
  warnings: string[];
}

/**
 * Reads all endpoints. `merge`: an existing endpoint takes over the keys that the file names. `replace`: an existing endpoint becomes what
 * the file says, and endpoints that the file does not name are removed.
 * @param stored the existing endpoints by id
 * @throws FluxError `invalid` (or `not-supported-yet` when that is the only problem) with paths such as `configs[3].port`
 */
export async function readConfigs(
  configs: unknown[],
  mode: ImportMode,
  stored: ReadonlyMap<string, StoredEndpoint>,
  sealer: Sealer,
): Promise<ConfigsRead> {
  if (configs.length > ENDPOINTS_MAX) throw tooMany(configs.length);
  const pace = new Pace();
  const twins = new Twins();
  const problems = new Problems();
  const warnings: string[] = [];
  const byPort = new Map([...stored.values()].map((each) => [each.endpoint.port, each]));
  const changes: EndpointChange[] = [];
  for (const [index, config] of configs.entries()) {
    if (pace.isOver) await pace.next();
    const path = `configs[${index}]`;
    if (!isObject(config)) {
      problems.add(path, 'must be an object');
      continue;
    }
    const opened = openSealedIn(config, path, sealer, problems);
    const before = existing(opened, stored, byPort);
    const parsed = readConfig(opened, path, mode, before, problems);
    if (parsed === null) continue;
    warnings.push(...parsed.warnings.map((warning) => `${path}: ${warning}`));
    twins.note(parsed.endpoint, path, problems);
    changes.push({ before, after: parsed.endpoint, path });
  }
  problems.throwIfAny('import');
  if (mode === 'replace') {
    const named = new Set(changes.map(({ after }) => after?.id));
    for (const [id, before] of stored) if (!named.has(id)) changes.push({ before, after: null, path: '' });
  }
  return { changes, warnings };
}

/** One endpoint of a file in its complete form; null when it has a problem. */
export function readConfig(
  config: Record<string, unknown>,
  path: string,
  mode: ImportMode,
  before: StoredEndpoint | null,
  problems: Problems,
): ParsedEndpoint | null {
  try {
    const parsed = parse(before === null ? config : unmask(config, before.endpoint), mode, before);
    let isWhole = true;
    mapSecrets(parsed.endpoint, (secret, at) => {
      if (secret !== MASK) return secret;
      isWhole = false;
      problems.add(`${path}.${at}`, 'is only a mask: there is no old secret to keep');
      return secret;
    });
    return isWhole ? parsed : null;
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    const issues = error.issues.length > 0 ? error.issues : [{ path: '', message: error.message }];
    for (const issue of issues) problems.add(issue.path === '' ? path : `${path}.${issue.path}`, issue.message);
    return null;
  }
}

function parse(config: Record<string, unknown>, mode: ImportMode, before: StoredEndpoint | null): ParsedEndpoint {
  if (before === null) return parseEndpoint(config);
  const { id } = before.endpoint;
  if (mode === 'replace') return parseEndpoint({ ...config, id });
  const { port, ...rest } = config;
  return mergeEndpoint(before.endpoint, port === before.endpoint.port || port === undefined ? rest : { ...rest, newPort: port });
}

/** The endpoint that an entry of the file means: by its id, else by its port. */
function existing(
  { id, port }: Record<string, unknown>,
  stored: ReadonlyMap<string, StoredEndpoint>,
  byPort: ReadonlyMap<number, StoredEndpoint>,
): StoredEndpoint | null {
  if (typeof id === 'string') return stored.get(id) ?? null;
  return (typeof port === 'number' ? byPort.get(port) : undefined) ?? null;
}

/** Ensures that ports and ids are unique in a file, and that there is at most one default. */
class Twins {
  readonly #ids = new Map<string, string>();
  readonly #ports = new Map<number, string>();
  #default: string | null = null;

  note({ id, port, isDefault }: Endpoint, path: string, problems: Problems): void {
    const [sameId, samePort] = [this.#ids.get(id), this.#ports.get(port)];
    if (sameId !== undefined) problems.add(`${path}.id`, `${id} is the id of ${sameId}, too`);
    if (samePort !== undefined) problems.add(`${path}.port`, `${port} is the port of ${samePort}, too`);
    if (isDefault && this.#default !== null) problems.add(`${path}.isDefault`, `${this.#default} is the default already`);
    this.#ids.set(id, sameId ?? path);
    this.#ports.set(port, samePort ?? path);
    if (isDefault) this.#default ??= path;
  }
}

function tooMany(count: number): FluxError {
  const message = `has ${count} endpoints: a file or a node has at most ${ENDPOINTS_MAX}`;
  return new FluxError('too-large', `configs ${message}`, { issues: [{ path: 'configs', message }] });
}

/** A copy of an endpoint of a file with every sealed secret opened; a secret that cannot be opened is noted under its path. */
export function openSealedIn(config: Record<string, unknown>, path: string, sealer: Sealer, problems: Problems): Record<string, unknown> {
  return open(config, path, sealer, problems) as Record<string, unknown>;
}

function open(value: unknown, path: string, sealer: Sealer, problems: Problems): unknown {
  if (typeof value === 'string') {
    try {
      return sealer.unseal(value);
    } catch (error) {
      if (!(error instanceof FluxError)) throw error;
      problems.add(path, error.message);
      return value;
    }
  }
  if (Array.isArray(value)) return value.map((element, index) => open(element, `${path}[${index}]`, sealer, problems));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, open(part, `${path}.${key}`, sealer, problems)]));
}
