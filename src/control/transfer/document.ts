/** The form of exports and backups: writes it, and reads files of this version and of older ones. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, type Problems } from '../../endpoint/problems.ts';
import { toDocument } from '../../endpoint/public-form.ts';
import { foreignKeysOf, withoutForeign } from '../../endpoint/secrets/foreign.ts';
import { MASK, mapSecrets } from '../../endpoint/secrets/secrets.ts';
import { FluxError } from '../../kernel/errors.ts';
import { CONFIG_KEYS } from '../../kernel/input/file-form.ts';
import { isSealed, type Sealer } from '../../storage/sealed/sealer.ts';
import type { ExportDocument } from '../contract/answers.ts';
import type { SecretsWanted } from '../contract/change-requests.ts';

/** Version of the written form; files of all versions up to it are readable. */
export const DOCUMENT_VERSION = 1;

const MASKED_NOTE =
  'Secrets are masked: this file cannot be restored or imported, except where these endpoints exist with their secrets. With store.secretKey secrets are sealed, with ?secrets=include in clear.';
const SEALED_NOTE = 'Secrets are sealed: a node with the same store.secretKey reads them.';

const FOREIGN_NOTE =
  'Keys of a newer version are left out, because this version cannot tell which of them are secret: take the file from a node of that version, or with ?secrets=include.';

/** Writes the endpoints of one file, and knows afterwards what the file says about its secrets. */
export class FileSecrets {
  readonly #sealer: Sealer;
  readonly #wanted: SecretsWanted;
  #hasSecrets = false;
  #isCut = false;

  constructor(sealer: Sealer, wanted: SecretsWanted) {
    this.#sealer = sealer;
    this.#wanted = wanted;
  }

  /** One endpoint in its form for the file. */
  toConfig(endpoint: Endpoint): Record<string, unknown> {
    const { isClear, keepsHashes } = this.#wanted;
    if (!isClear) this.#isCut ||= foreignKeysOf(endpoint).length > 0;
    const hashes = this.#sealer.keyId === null && keepsHashes ? hashPathsOf(endpoint) : null;
    const write = (secret: string, path: string): string => {
      if (hashes?.has(path) === true) return secret;
      this.#hasSecrets = true;
      if (isClear) return secret;
      if (this.#sealer.keyId === null) return MASK;
      return isSealed(secret) ? secret : this.#sealer.seal(secret);
    };
    return toDocument(mapSecrets(isClear ? endpoint : withoutForeign(endpoint), write));
  }

  /** The form of the secrets of all endpoints written so far. */
  head(): Pick<ExportDocument, 'secrets' | 'keyId' | 'note'> {
    const foreign = this.#isCut ? [FOREIGN_NOTE] : [];
    const withNote = <T extends object>(head: T, notes: string[]) => (notes.length === 0 ? head : { ...head, note: notes.join(' ') });
    if (!this.#hasSecrets) return withNote({ secrets: 'none' as const }, foreign);
    if (this.#wanted.isClear) return { secrets: 'clear' };
    const { keyId } = this.#sealer;
    if (keyId === null) return withNote({ secrets: 'masked' as const }, [MASKED_NOTE, ...foreign]);
    return withNote({ secrets: 'sealed' as const, keyId }, [SEALED_NOTE, ...foreign]);
  }
}

/** Paths of the hashed passwords: a hash restores a login, but nobody can log in with it. */
function hashPathsOf({ authConfig }: Endpoint): Set<string> {
  const paths = (authConfig ?? []).flatMap((entry, index) =>
    ('users' in entry ? entry.users : []).flatMap(({ encrypt }, at) =>
      encrypt === 'plain' ? [] : [`authConfig[${index}].users[${at}].password`],
    ),
  );
  return new Set(paths);
}

/** Keys that describe a file and request nothing. */
const HEAD_KEYS = ['kind', 'exportedAt', 'takenAt', 'node', 'revision', 'historyFloor', 'secrets', 'keyId', 'note'];

/** The parts of a body that holds a file. */
export interface FileBody {
  configs: unknown[];
  /** undefined when the file has none */
  history: unknown;
  /** what the file says about its secrets */
  secrets: unknown;
  /** facts of a backup about its history; see Past */
  revision: unknown;
  floor: unknown;
  /** the part of the request beside the file */
  rest: Record<string, unknown>;
}

/**
 * Finds the endpoints of a file of any version up to DOCUMENT_VERSION. The file may be a whole answer of the API (`{code, message, data}`).
 * @param problems collects the problems, such as missing endpoints
 * @throws FluxError `invalid` when the file is newer; its other problems are unknown then
 */
export function readFileBody(body: Record<string, unknown>, problems: Problems): FileBody {
  const { code, message, data, ...beside } = body;
  const isAnswer = typeof code === 'number' && isObject(data);
  const all: Record<string, unknown> = isAnswer ? { ...data, ...beside } : { ...body };
  const { version = DOCUMENT_VERSION, history, ...rest } = all;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 0) problems.add('version', 'must be a whole number');
  else if (version > DOCUMENT_VERSION) {
    throw refusal('version', `is ${version}: the file was written by a newer fluxmq; this one reads up to ${DOCUMENT_VERSION}`);
  }
  const [key, ...more] = CONFIG_KEYS.filter((name) => Object.hasOwn(rest, name));
  if (key === undefined) problems.add('configs', 'is required: a list of endpoints');
  for (const twin of more) problems.add(twin, `is the same as ${key}`);
  const configs = key === undefined ? [] : readList(rest[key], key, problems);
  const { secrets, revision, historyFloor: floor = 0 } = rest;
  for (const known of [...CONFIG_KEYS, ...HEAD_KEYS]) delete rest[known];
  return { configs, history, secrets, revision, floor, rest };
}

function readList(list: unknown, key: string, problems: Problems): unknown[] {
  // The answer of `list` holds an object with endpoints by port.
  const configs = isObject(list) ? Object.values(list) : list;
  if (Array.isArray(configs)) return configs;
  problems.add(key, 'must be a list of endpoints');
  return [];
}

function refusal(path: string, message: string): FluxError {
  return new FluxError('invalid', `Invalid file: ${path} ${message}`, { issues: [{ path, message }] });
}
