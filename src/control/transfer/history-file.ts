/** History rows in a backup: written oldest first, and read back strictly, because a store takes them over as its own past. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../../endpoint/endpoint.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Upload } from '../../kernel/input/upload.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { HistoryRow, Past } from '../../storage/endpoint-store.ts';
import { Replay } from '../../storage/replay.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import type { FileSecrets } from './document.ts';
import { openSealedIn, readConfig } from './read-configs.ts';

const ACTIONS = ['add', 'update', 'remove', 'enable', 'disable', 'import', 'rollback', 'restore', 'seed'] as const;
const SOURCES = ['http', 'nats', 'file', 'rollback', 'import'] as const;
const TEXT_MAX = 4096;

/** A row in its form for a backup. */
export function toRow(row: HistoryRow, secrets: FileSecrets): Record<string, unknown> {
  const write = (endpoint: Endpoint | null) => endpoint && secrets.toConfig(endpoint);
  return { ...row, at: new Date(row.at).toISOString(), before: write(row.before), after: write(row.after) };
}

/** Rows of one piece of a history. */
const PIECE_ROWS = 50;

/**
 * The history of an uploaded backup in the form that a store takes. Each run over its pieces reads and checks the upload again.
 * @param head facts of the backup about its history
 */
export function pastOf(upload: Upload, head: { revision: number; floor: number }, sealer: Sealer): Past {
  return {
    ...head,
    pieces: async function* () {
      let rows: HistoryRow[] = [];
      let index = 0;
      for await (const row of upload.history()) {
        const problems = new Problems();
        rows.push(...readRow(row, `history[${index++}]`, sealer, problems));
        problems.throwIfAny('backup');
        if (rows.length < PIECE_ROWS) continue;
        yield rows;
        rows = [];
      }
      if (rows.length > 0) yield rows;
    },
  };
}

/**
 * Checks, in slices of the thread, that a past is consistent and leads to the endpoints of its backup.
 * @throws FluxError `invalid`
 */
export async function checkPast(past: Past, endpoints: Endpoint[]): Promise<void> {
  const replayed = new Replay(past.floor);
  const pace = new Pace();
  for await (const rows of past.pieces()) {
    replayed.add(rows);
    if (pace.isOver) await pace.next();
  }
  const content = replayed.end(past.revision);
  const isSame = content.size === endpoints.length && endpoints.every((each) => isDeepStrictEqual(content.get(each.id)?.endpoint, each));
  if (!isSame) throw new FluxError('invalid', 'Invalid backup: its history does not lead to its endpoints', { issues: [MISFIT] });
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
