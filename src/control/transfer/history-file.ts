/** History rows in a backup: written oldest first, and read back strictly, because a store takes them as its own past. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, type Problems } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { HistoryRow } from '../../storage/contract.ts';
import { replayWhole } from '../../storage/replay.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import { type SecretForm, toConfig } from './document.ts';
import { openSealedIn, readConfig } from './read-configs.ts';

const ACTIONS = ['add', 'update', 'remove', 'enable', 'disable', 'import', 'rollback', 'restore', 'seed'] as const;
const SOURCES = ['http', 'nats', 'file', 'rollback', 'import'] as const;
const TEXT_MAX = 4096;

/** Rows as a backup has them. @param rows oldest first */
export function toRows(rows: HistoryRow[], form: SecretForm): Record<string, unknown>[] {
  const write = (endpoint: Endpoint | null) => endpoint && toConfig(endpoint, form);
  return rows.map((row) => ({ ...row, at: new Date(row.at).toISOString(), before: write(row.before), after: write(row.after) }));
}

/**
 * Reads the rows of a backup and checks that they lead to its endpoints.
 * @param endpoints what they must lead to
 * @param problems takes what is wrong with single values
 * @throws FluxError `invalid` when the rows do not fit together
 */
export function readRows(history: unknown, endpoints: Endpoint[], sealer: Sealer, problems: Problems): HistoryRow[] {
  if (!Array.isArray(history)) {
    problems.add('history', 'must be a list');
    return [];
  }
  const rows = history.flatMap((row, index) => readRow(row, `history[${index}]`, sealer, problems));
  if (problems.issues.length > 0) return [];
  const content = replayWhole(rows);
  const isSame = content.size === endpoints.length && endpoints.every((each) => isDeepStrictEqual(content.get(each.id)?.endpoint, each));
  if (!isSame) throw new FluxError('invalid', 'Invalid backup: its history does not lead to its endpoints', { issues: [MISFIT] });
  return rows;
}

const MISFIT = { path: 'history', message: 'does not lead to configs' };

function readRow(row: unknown, path: string, sealer: Sealer, problems: Problems): HistoryRow[] {
  if (!isObject(row)) {
    problems.add(path, 'must be an object');
    return [];
  }
  const count = problems.issues.length;
  const value = <T>(key: string, isValid: (value: unknown) => value is T, expected: string): T => {
    const given = row[key];
    if (!isValid(given)) problems.add(`${path}.${key}`, `must be ${expected}`);
    return given as T;
  };
  const text = (key: string) => value(key, isText, 'a text');
  const read: HistoryRow = {
    revision: value('revision', isCount, 'a whole number from 1'),
    action: value('action', oneOf(ACTIONS), `one of ${ACTIONS.join(', ')}`),
    actor: text('actor'),
    source: value('source', oneOf(SOURCES), `one of ${SOURCES.join(', ')}`),
    node: text('node'),
    requestId: text('requestId'),
    reason: value('reason', (given): given is string | null => given === null || isText(given), 'a text or null'),
    at: Date.parse(value('at', isMoment, 'a moment (ISO 8601)')),
    id: text('id'),
    port: value('port', isCount, 'a port'),
    before: readForm(row['before'], `${path}.before`, sealer, problems),
    after: readForm(row['after'], `${path}.after`, sealer, problems),
  };
  return problems.issues.length === count ? [read] : [];
}

function readForm(form: unknown, path: string, sealer: Sealer, problems: Problems): Endpoint | null {
  if (form === null || form === undefined) return null;
  if (!isObject(form)) {
    problems.add(path, 'must be an object or null');
    return null;
  }
  return readConfig(openSealedIn(form, path, sealer, problems), path, 'replace', null, problems)?.endpoint ?? null;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= TEXT_MAX;
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
const isMoment = (value: unknown): value is string => typeof value === 'string' && !Number.isNaN(Date.parse(value));

function oneOf<const T extends readonly string[]>(values: T) {
  return (value: unknown): value is T[number] => values.some((known) => known === value);
}
