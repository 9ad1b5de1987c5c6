/** The form of exports and backups: how they are written, and how files of this and of older versions are read. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, type Problems } from '../../endpoint/problems.ts';
import { toDocument } from '../../endpoint/public-form.ts';
import { foreignKeysOf, withoutForeign } from '../../endpoint/secrets/foreign.ts';
import { MASK, mapSecrets } from '../../endpoint/secrets/secrets.ts';
import { FluxError } from '../../kernel/errors.ts';
import { CONFIG_KEYS } from '../../kernel/input/file-form.ts';
import { isSealed, type Sealer } from '../../storage/sealed/sealer.ts';
import type { ExportDocument, SecretsWanted } from '../contract.ts';

/** Of the form that is written; all up to it are read. */
export const DOCUMENT_VERSION = 1;

const MASKED_NOTE =
  'Secrets are masked: this file cannot be restored or imported elsewhere, only where these endpoints exist with their secrets. With store.secretKey they are sealed, with ?secrets=include in clear.';
const SEALED_NOTE = 'Secrets are sealed: a node with the same store.secretKey reads them.';

const FOREIGN_NOTE =
  'Keys that a newer version has written are left out, because it is not known here what in them is secret: take the file from a node of that version, or with ?secrets=include.';

/** Writes the endpoints of one file, and knows in the end what the file says about its secrets. */
export class FileSecrets {
  readonly #sealer: Sealer;
  readonly #wanted: SecretsWanted;
  #hasSecrets = false;
  #isCut = false;

  constructor(sealer: Sealer, wanted: SecretsWanted) {
    this.#sealer = sealer;
    this.#wanted = wanted;
  }

  /** One endpoint as it stands in the file. */
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

  /** Of the endpoints that were written so far. */
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

/** Where passwords stand that are hashed: what restores a login, and is no login. */
function hashPathsOf({ authConfig }: Endpoint): Set<string> {
  const paths = (authConfig ?? []).flatMap(({ users }, index) =>
    users.flatMap(({ encrypt }, at) => (encrypt === 'plain' ? [] : [`authConfig[${index}].users[${at}].password`])),
  );
  return new Set(paths);
}

/** Keys of a file that say something about it, and nothing about what is to be done. */
const HEAD_KEYS = ['kind', 'exportedAt', 'takenAt', 'node', 'revision', 'historyFloor', 'secrets', 'keyId', 'note'];

/** A body with a file in it, taken apart. */
export interface FileBody {
  configs: unknown[];
  /** undefined: the file has none */
  history: unknown;
  /** what the file says about its secrets */
  secrets: unknown;
  /** what a backup says about its history: see Past */
  revision: unknown;
  floor: unknown;
  /** what the request says beside the file */
  rest: Record<string, unknown>;
}

/**
 * Finds the endpoints of a file, which may be a whole answer of the API (`{code, message, data}`), of any version up to ours.
 * @param problems takes what is wrong, such as that there are none
 * @throws FluxError `invalid` when the file is newer: what else may seem wrong with it is not known
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
  // The list's answer has them by port.
  const configs = isObject(list) ? Object.values(list) : list;
  if (Array.isArray(configs)) return configs;
  problems.add(key, 'must be a list of endpoints');
  return [];
}

function refusal(path: string, message: string): FluxError {
  return new FluxError('invalid', `Invalid file: ${path} ${message}`, { issues: [{ path, message }] });
}
