/** The form of exports and backups: how they are written, and how files of this and of older versions are read. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, type Problems } from '../../endpoint/problems.ts';
import { toDocument } from '../../endpoint/public-form.ts';
import { foreignKeysOf, withoutForeign } from '../../endpoint/secrets/foreign.ts';
import { MASK, mapSecrets, secretPathsOf } from '../../endpoint/secrets/secrets.ts';
import { FluxError } from '../../kernel/errors.ts';
import { isSealed, type Sealer } from '../../storage/sealed/sealer.ts';
import type { ExportDocument } from '../contract.ts';

/** Of the form that is written; all up to it are read. */
export const DOCUMENT_VERSION = 1;

const MASKED_NOTE =
  'Secrets are masked: an import keeps those of existing endpoints. With store.secretKey they are sealed, with ?secrets=include in clear.';
const SEALED_NOTE = 'Secrets are sealed: a node with the same store.secretKey reads them.';

const FOREIGN_NOTE =
  'Keys that a newer version has written are left out, because it is not known here what in them is secret: take the file from a node of that version, or with ?secrets=include.';

/** What a file says about its secrets, and how each is written. */
export interface SecretForm {
  head: Pick<ExportDocument, 'secrets' | 'keyId' | 'note'>;
  /** on demand of an administrator: everything is written as it is */
  isClear: boolean;
  write(secret: string): string;
}

/** @param isClear on demand of an administrator */
export function secretFormOf(endpoints: Endpoint[], sealer: Sealer, isClear: boolean): SecretForm {
  const hasSecrets = endpoints.some((endpoint) => secretPathsOf(endpoint).length > 0);
  const isCut = !isClear && endpoints.some((endpoint) => foreignKeysOf(endpoint).length > 0);
  const headOf = (head: SecretForm['head']): SecretForm['head'] => {
    const notes = [...(head.note === undefined ? [] : [head.note]), ...(isCut ? [FOREIGN_NOTE] : [])];
    return notes.length === 0 ? head : { ...head, note: notes.join(' ') };
  };
  const asIs = (secret: string) => secret;
  if (!hasSecrets) return { head: headOf({ secrets: 'none' }), isClear, write: asIs };
  if (isClear) return { head: { secrets: 'clear' }, isClear, write: asIs };
  if (sealer.keyId === null) return { head: headOf({ secrets: 'masked', note: MASKED_NOTE }), isClear, write: () => MASK };
  const head = headOf({ secrets: 'sealed', keyId: sealer.keyId, note: SEALED_NOTE });
  return { head, isClear, write: (secret) => (isSealed(secret) ? secret : sealer.seal(secret)) };
}

/** One endpoint as it stands in a file. */
export function toConfig(endpoint: Endpoint, form: SecretForm): Record<string, unknown> {
  return toDocument(mapSecrets(form.isClear ? endpoint : withoutForeign(endpoint), form.write));
}

/** Keys of a file that say something about it, and nothing about what is to be done. */
const HEAD_KEYS = ['kind', 'exportedAt', 'takenAt', 'node', 'revision', 'secrets', 'keyId', 'note'];
/** Other names of `configs`: FluxMQ's, and that of the list's answer. */
const CONFIG_KEYS = ['configs', 'endpoints', 'mqtt'];

/** A body with a file in it, taken apart. */
export interface FileBody {
  configs: unknown[];
  /** undefined: the file has none */
  history: unknown;
  /** what the file says about its secrets */
  secrets: unknown;
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
  const { secrets } = rest;
  for (const known of [...CONFIG_KEYS, ...HEAD_KEYS]) delete rest[known];
  return { configs, history, secrets, rest };
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
